package relayer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ErrLocked says that another process works in a folder.
var ErrLocked = errors.New("folder in use")

// Lock takes a folder, which must exist, for this process: who is what the
// next one is told, such as "a devnet". The kernel gives it back when the
// process dies, however it dies.
func Lock(dir, who string) (release func() error, err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = fmt.Errorf("%w: %s runs in %s: stop it, or use another folder", ErrLocked, holder(f), dir)
	} else if err == nil {
		err = f.Truncate(0)
	}
	if err == nil {
		_, err = fmt.Fprintf(f, "%d %s\n", os.Getpid(), who)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f.Close, nil
}

// holder is who wrote the file, with its pid.
func holder(f *os.File) string {
	raw, _ := io.ReadAll(io.LimitReader(f, 256))
	pid, who, ok := strings.Cut(strings.TrimSpace(string(raw)), " ")
	if _, err := strconv.Atoi(pid); err != nil || !ok {
		return "another process" // it has not written its name yet
	}
	return fmt.Sprintf("%s (pid %s)", who, pid)
}
