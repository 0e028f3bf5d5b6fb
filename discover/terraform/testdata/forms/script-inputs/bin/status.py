import subprocess
subprocess.run("fluxctl sync", shell=True)
