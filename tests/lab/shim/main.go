// Shim is an OCI runtime in front of another one, for hosts that cannot give what a privileged container asks for.
//
// Engines write all capabilities and high limits into the container's configuration. On a host whose root lacks
// CAP_SYS_RESOURCE (many virtual machines and build services), the runtime then fails with "unable to apply caps" or
// "setrlimit RLIMIT_NOFILE". The shim takes from the configuration what this process could not give anyway, and then
// becomes the real runtime.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// runtime is the real runtime, set at link time: conmon passes no environment on, so it can't come from there.
var runtime = "/usr/sbin/runc"

// capabilities in the order of their bits, linux/capability.h.
var capabilities = strings.Fields(`CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
	LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT
	SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE
	AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`)

// limits by their names in the runtime-spec; the numbers are x86-64's (asm-generic/resource.h).
var limits = map[string]int{
	"RLIMIT_CPU": 0, "RLIMIT_FSIZE": 1, "RLIMIT_DATA": 2, "RLIMIT_STACK": 3, "RLIMIT_CORE": 4, "RLIMIT_RSS": 5,
	"RLIMIT_NPROC": 6, "RLIMIT_NOFILE": 7, "RLIMIT_MEMLOCK": 8, "RLIMIT_AS": 9, "RLIMIT_LOCKS": 10,
	"RLIMIT_SIGPENDING": 11, "RLIMIT_MSGQUEUE": 12, "RLIMIT_NICE": 13, "RLIMIT_RTPRIO": 14, "RLIMIT_RTTIME": 15,
}

func main() {
	if err := adjust(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lab shim:", err)
		os.Exit(1)
	}
	err := syscall.Exec(runtime, append([]string{runtime}, os.Args[1:]...), os.Environ())
	fmt.Fprintln(os.Stderr, "lab shim:", runtime, err)
	os.Exit(1)
}

// adjust edits the file that the runtime is about to read: the bundle's config.json for create and run, the bare
// process object for exec --process.
func adjust(args []string) error {
	command, rest := split(args)
	switch command {
	case "create", "run":
		return edit(filepath.Join(option(rest, "-b", "--bundle", "."), "config.json"), func(document map[string]any) any { return document["process"] })
	case "exec":
		if file := option(rest, "-p", "--process", ""); file != "" {
			return edit(file, func(document map[string]any) any { return document })
		}
	}
	return nil
}

// split finds the subcommand behind runc's global options.
func split(args []string) (string, []string) {
	for i := 0; i < len(args); i++ {
		switch arg := args[i]; {
		case arg == "--root" || arg == "--log" || arg == "--log-format" || arg == "--criu" || arg == "--rootless":
			i++
		case !strings.HasPrefix(arg, "-"):
			return arg, args[i+1:]
		}
	}
	return "", nil
}

func option(args []string, short, long, otherwise string) string {
	for i, arg := range args {
		if (arg == short || arg == long || arg == long[1:]) && i+1 < len(args) {
			return args[i+1]
		}
		if value, found := strings.CutPrefix(arg, long+"="); found {
			return value
		}
	}
	return otherwise
}

func edit(path string, process func(map[string]any) any) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(content))
	decoder.UseNumber() // limits go up to 2^64-1, which a float would round
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	object, isObject := process(document).(map[string]any)
	if !isObject {
		return nil
	}
	if err := lowerCapabilities(object); err != nil {
		return err
	}
	if err := lowerLimits(object); err != nil {
		return err
	}
	raiseOOMScore(object)
	content, err = json.Marshal(document)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// lowerCapabilities intersects every set with this process's bounding set.
func lowerCapabilities(process map[string]any) error {
	bounding, err := boundingSet()
	if err != nil {
		return err
	}
	sets, _ := process["capabilities"].(map[string]any)
	for name, value := range sets {
		set, _ := value.([]any)
		kept := make([]any, 0, len(set))
		for _, capability := range set {
			if text, _ := capability.(string); bounding[text] {
				kept = append(kept, capability)
			}
		}
		sets[name] = kept
	}
	return nil
}

func boundingSet() (map[string]bool, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return nil, err
	}
	_, after, _ := strings.Cut(string(status), "CapBnd:")
	word, _, _ := strings.Cut(strings.TrimSpace(after), "\n")
	bits, err := strconv.ParseUint(strings.TrimSpace(word), 16, 64)
	if err != nil {
		return nil, fmt.Errorf("CapBnd in /proc/self/status: %w", err)
	}
	set := map[string]bool{}
	for bit, name := range capabilities {
		if bits&(1<<bit) != 0 {
			set["CAP_"+name] = true
		}
	}
	return set, nil
}

// lowerLimits caps every limit at this process's hard one: without CAP_SYS_RESOURCE nobody can go above it.
func lowerLimits(process map[string]any) error {
	list, _ := process["rlimits"].([]any)
	for _, item := range list {
		limit, _ := item.(map[string]any)
		name, _ := limit["type"].(string)
		number, known := limits[name]
		if !known {
			continue
		}
		var current syscall.Rlimit
		if err := syscall.Getrlimit(number, &current); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, side := range []string{"soft", "hard"} {
			text, _ := limit[side].(json.Number)
			if value, err := strconv.ParseUint(text.String(), 10, 64); err == nil && value > current.Max {
				limit[side] = current.Max
			}
		}
	}
	return nil
}

// raiseOOMScore keeps the score from going below our own, which the kernel would refuse.
func raiseOOMScore(process map[string]any) {
	wanted, isNumber := process["oomScoreAdj"].(json.Number)
	content, err := os.ReadFile("/proc/self/oom_score_adj")
	if !isNumber || err != nil {
		return
	}
	own, errOwn := strconv.Atoi(strings.TrimSpace(string(content)))
	value, errValue := strconv.Atoi(wanted.String())
	if errOwn == nil && errValue == nil && value < own {
		process["oomScoreAdj"] = own
	}
}
