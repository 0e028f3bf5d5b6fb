package kubelet

import (
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"time"
)

// clockTick is the unit of CPU times in /proc, the same on every Linux.
const clockTick = time.Second / 100

// PodUsage is what the processes of one real Pod used.
type PodUsage struct {
	Namespace, Pod string
	// CPU is user and system time since the kubelet first ran the Pod: of its
	// processes, of children they waited for, and of runs before a restart.
	CPU time.Duration
	// RSS is the resident memory of all its processes now, in bytes. Pages that
	// processes share count once for each.
	RSS int64
}

// Usage returns what each real Pod used so far, sorted by namespace and name.
// Hollow Pods and Pods that are gone are not in it.
func (k *Kubelet) Usage() ([]PodUsage, error) {
	processes, err := readProcesses()
	if err != nil {
		return nil, fmt.Errorf("measure pods: %w", err)
	}
	children := map[int][]int{} // by parent
	groups := map[int][]int{}   // by process group
	for pid, process := range processes {
		children[process.parent] = append(children[process.parent], pid)
		groups[process.group] = append(groups[process.group], pid)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	usage := make([]PodUsage, 0, len(k.pods))
	for _, p := range k.pods {
		u := PodUsage{Namespace: p.namespace, Pod: p.name}
		p.mu.Lock()
		counted := map[int]bool{}
		for _, c := range append(append([]*container{}, p.init...), p.containers...) {
			u.CPU += c.cpuEnded
			if c.proc == nil {
				continue
			}
			if c.proc.ended() {
				u.CPU += c.proc.cpu
				continue
			}
			first := c.proc.cmd.Process.Pid
			for open := append([]int{first}, groups[first]...); len(open) > 0; {
				pid := open[0]
				open = open[1:]
				if process, ok := processes[pid]; ok && !counted[pid] {
					counted[pid] = true
					u.CPU += process.cpu
					u.RSS += process.rss
					open = append(open, children[pid]...)
				}
			}
		}
		p.mu.Unlock()
		usage = append(usage, u)
	}
	sort.Slice(usage, func(i, j int) bool {
		if usage[i].Namespace != usage[j].Namespace {
			return usage[i].Namespace < usage[j].Namespace
		}
		return usage[i].Pod < usage[j].Pod
	})
	return usage, nil
}

// processStat is what /proc/<pid>/stat says.
type processStat struct {
	parent, group int
	cpu           time.Duration // own and of children waited for
	rss           int64
}

func readProcesses() (map[int]processStat, error) {
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("no /proc on this system: usage can be measured on Linux only")
	}
	processes := make(map[int]processStat, len(paths))
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			continue // it ended meanwhile
		}
		pid, process, err := parseStat(string(content))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		processes[pid] = process
	}
	return processes, nil
}

// parseStat reads a line of proc(5) /proc/<pid>/stat: field 4 parent, 5 group,
// 14 to 17 CPU ticks (own user and system, children's user and system), 24
// resident pages. The name in field 2 may hold blanks and brackets.
func parseStat(line string) (int, processStat, error) {
	open, shut := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || shut < open {
		return 0, processStat{}, fmt.Errorf("no process name in %q", line)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line[:open]))
	if err != nil {
		return 0, processStat{}, err
	}
	fields := strings.Fields(line[shut+1:]) // from field 3 on
	if len(fields) < 22 {
		return 0, processStat{}, fmt.Errorf("only %d fields in %q", len(fields)+2, line)
	}
	number := func(field int) int64 {
		n, convErr := strconv.ParseInt(fields[field-3], 10, 64)
		if convErr != nil && err == nil {
			err = convErr
		}
		return n
	}
	process := processStat{
		parent: int(number(4)), group: int(number(5)),
		cpu: time.Duration(number(14)+number(15)+number(16)+number(17)) * clockTick,
		rss: number(24) * int64(os.Getpagesize()),
	}
	return pid, process, err
}
