package deploy

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// ErrLocked says that another process works with the same state file.
var ErrLocked = errors.New("another deployment uses this state file")

// lock takes the file for this process. The kernel gives it back when the
// process dies, however it dies.
func lock(path string) (unlock func() error, err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		err = errors.Join(err, f.Close())
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w (%s)", ErrLocked, path)
		}
		return nil, err
	}
	return f.Close, nil
}
