package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"swingport/bench/measure"
)

// confinement is a control group, of version 2, or one for memory and one for the disk of version 1.
type confinement struct {
	groups  []string // folders whose cgroup.procs takes the process
	disk    string   // "major:minor"
	reads   func() (bytes, ops int64, err error)
	mounted []string // hierarchies that were mounted for it
	made    []string
}

// joinArgument is the first argument of this program when it is to enter groups and then to become another program.
const joinArgument = "--join"

// join enters the groups in front of "--" and becomes the command behind it.
func join(args []string) {
	for i, group := range args {
		if group == "--" {
			path := args[i+1]
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, syscall.Exec(path, args[i+1:], os.Environ()))
			break
		}
		if err := os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte("0"), 0); err != nil {
			fmt.Fprintf(os.Stderr, "enter a control group: %v\n", err)
			break
		}
	}
	os.Exit(1)
}

// command is what runs argv inside the groups; argv[0] is a path.
func (c *confinement) command(argv []string) ([]string, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	args := append([]string{self, joinArgument}, c.groups...)
	return append(append(args, "--"), argv...), nil
}

// confine makes new groups with the limits, for the disk that file is on.
func confine(file string, l limits) (*confinement, error) {
	c := &confinement{}
	disk, err := diskOf(file)
	if err != nil {
		return nil, err
	}
	c.disk = disk
	err = c.second(l)
	if errors.Is(err, errNoControllers) {
		err = c.first(l)
	}
	if err != nil {
		return nil, errors.Join(err, c.close())
	}
	return c, nil
}

// close removes the groups, which nobody is in any more, and what was mounted.
func (c *confinement) close() error {
	var errs []error
	for _, dir := range c.made {
		errs = append(errs, os.Remove(dir))
	}
	for _, dir := range c.mounted {
		errs = append(errs, unix.Unmount(dir, 0), os.Remove(dir))
	}
	c.made, c.mounted = nil, nil
	return errors.Join(errs...)
}

// diskOf is the device that holds a file, as "major:minor": the whole disk where that is a partition, since limits are a disk's.
func diskOf(file string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(file, &st); err != nil {
		return "", &fs.PathError{Op: "stat", Path: file, Err: err}
	}
	device := fmt.Sprintf("%d:%d", unix.Major(uint64(st.Dev)), unix.Minor(uint64(st.Dev))) //nolint:unconvert // not a uint64 everywhere
	sys := filepath.Join("/sys/dev/block", device)
	if _, err := os.Stat(sys); err != nil {
		return "", fmt.Errorf("%s is on no disk whose reads can be limited: %w", file, err)
	}
	if _, err := os.Stat(filepath.Join(sys, "partition")); err == nil {
		whole, err := filepath.EvalSymlinks(sys)
		if err != nil {
			return "", err
		}
		device = strings.TrimSpace(measure.ReadText(filepath.Join(filepath.Dir(whole), "dev")))
	}
	return device, nil
}

// mount is a line of /proc/self/mounts.
type mount struct{ dir, kind, options string }

func parseMounts(text string) (all []mount) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) >= 4 {
			all = append(all, mount{f[1], f[2], f[3]})
		}
	}
	return all
}

var errNoControllers = errors.New("control groups of version 2 have no controllers for memory and disks")

// second confines by version 2.
func (c *confinement) second(l limits) error {
	for _, m := range parseMounts(measure.ReadText("/proc/self/mounts")) {
		have := " " + strings.Join(strings.Fields(measure.ReadText(filepath.Join(m.dir, "cgroup.controllers"))), " ") + " "
		if m.kind != "cgroup2" || !strings.Contains(have, " memory ") || !strings.Contains(have, " io ") {
			continue
		}
		if err := write(filepath.Join(m.dir, "cgroup.subtree_control"), "+memory +io"); err != nil {
			return err
		}
		group, err := c.group(m.dir)
		if err != nil {
			return err
		}
		c.reads = func() (int64, int64, error) { return readsOf(filepath.Join(group, "io.stat"), c.disk) }
		return errors.Join(
			write(filepath.Join(group, "memory.max"), strconv.FormatInt(l.memory, 10)),
			write(filepath.Join(group, "io.max"), fmt.Sprintf("%s rbps=%d riops=%d", c.disk, l.bytesPerSecond, l.readsPerSecond)))
	}
	return errNoControllers
}

// first confines by version 1.
func (c *confinement) first(l limits) error {
	memory, err := c.hierarchy("memory")
	if err != nil {
		return err
	}
	disk, err := c.hierarchy("blkio")
	if err != nil {
		return err
	}
	c.reads = func() (bytes, ops int64, err error) {
		bytes, err = readsOfFirst(filepath.Join(disk, "blkio.throttle.io_service_bytes"), c.disk)
		if err == nil {
			ops, err = readsOfFirst(filepath.Join(disk, "blkio.throttle.io_serviced"), c.disk)
		}
		return bytes, ops, err
	}
	return errors.Join(
		write(filepath.Join(memory, "memory.limit_in_bytes"), strconv.FormatInt(l.memory, 10)),
		write(filepath.Join(disk, "blkio.throttle.read_bps_device"), fmt.Sprintf("%s %d", c.disk, l.bytesPerSecond)),
		write(filepath.Join(disk, "blkio.throttle.read_iops_device"), fmt.Sprintf("%s %d", c.disk, l.readsPerSecond)))
}

// hierarchy makes a group in a controller's hierarchy, which is mounted if nobody did.
func (c *confinement) hierarchy(controller string) (group string, err error) {
	for _, m := range parseMounts(measure.ReadText("/proc/self/mounts")) {
		if m.kind == "cgroup" && strings.Contains(","+m.options+",", ","+controller+",") {
			return c.group(m.dir)
		}
	}
	dir, err := os.MkdirTemp("", "swingport-cgroup.")
	if err != nil {
		return "", err
	}
	if err := unix.Mount("none", dir, "cgroup", 0, controller); err != nil {
		return "", errors.Join(fmt.Errorf("no control group for %s: %w", controller, err), os.Remove(dir))
	}
	c.mounted = append(c.mounted, dir)
	return c.group(dir)
}

func (c *confinement) group(parent string) (string, error) {
	dir := filepath.Join(parent, fmt.Sprintf("swingport-bigstore-%d", os.Getpid()))
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	c.made, c.groups = append(c.made, dir), append(c.groups, dir)
	return dir, nil
}

func write(file, text string) error { return os.WriteFile(file, []byte(text), 0) }

// readsOf is what a group of version 2 read from a disk: "254:0 rbytes=1 wbytes=2 rios=3 ...".
func readsOf(file, disk string) (bytes, ops int64, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != disk {
			continue
		}
		for _, f := range fields[1:] {
			name, value, _ := strings.Cut(f, "=")
			n, err := strconv.ParseInt(value, 10, 64)
			switch {
			case name == "rbytes" && err == nil:
				bytes = n
			case name == "rios" && err == nil:
				ops = n
			}
		}
	}
	return bytes, ops, nil
}

// readsOfFirst is the number of a disk's line of a file of version 1: "254:0 Read 4096".
func readsOfFirst(file, disk string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == disk && f[1] == "Read" {
			return strconv.ParseInt(f[2], 10, 64)
		}
	}
	return 0, nil
}
