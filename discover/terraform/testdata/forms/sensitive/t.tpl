password: ${token}
url: ${url}
plain: here
