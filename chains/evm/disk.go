package evm

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// Disk holds one intents file for one process. Its methods are called one at a
// time.
type Disk interface {
	// Load reads all of it.
	Load() ([]byte, error)
	// Append adds bytes and returns once they survive a power cut. A death
	// meanwhile may leave a part of them.
	Append([]byte) error
	// Replace puts other content in its place: after a death it holds one or the
	// other, whole.
	Replace([]byte) error
	Close() error
}

// localDisk is a file that is locked against other processes.
type localDisk struct {
	path string
	lock *flock.Flock
	file *os.File
}

func openLocalDisk(path string) (Disk, error) {
	d := &localDisk{path: path, lock: flock.New(path + ".lock")}
	locked, err := d.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if !locked {
		return nil, errors.New("in use by another process")
	}
	d.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		err = syncDir(path)
	}
	if err != nil {
		return nil, errors.Join(err, d.Close())
	}
	return d, nil
}

func (d *localDisk) Load() ([]byte, error) {
	if _, err := d.file.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return io.ReadAll(d.file)
}

func (d *localDisk) Append(b []byte) error {
	if _, err := d.file.Write(b); err != nil {
		return err
	}
	return d.file.Sync()
}

// Replace completes and syncs a new file before it takes the old one's name.
func (d *localDisk) Replace(b []byte) error {
	next := d.path + ".new"
	file, err := os.OpenFile(next, os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(next, d.path)
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	old := d.file
	d.file = file
	return errors.Join(old.Close(), syncDir(d.path))
}

func (d *localDisk) Close() error {
	var err error
	if d.file != nil {
		err = d.file.Close()
		d.file = nil
	}
	return errors.Join(err, d.lock.Unlock())
}

func syncDir(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
