package testenv

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
)

// runDir makes a folder for a server that ends with this process. Such a process cannot clear up after itself, so the
// next one does: a folder whose lock can be had has no living owner.
func runDir(name string) (string, error) {
	root, err := ownRoot()
	if err != nil {
		return "", err
	}
	return os.MkdirTemp(root, name+"-")
}

// removeRunDirs clears up when all servers have been stopped in good order.
func removeRunDirs() error {
	root, err := ownRoot()
	if err != nil {
		return nil //nolint:nilerr // it could not be made, so there is none
	}
	return errors.Join(os.RemoveAll(root), held.Close())
}

var ownRoot = sync.OnceValues(func() (string, error) {
	sweep()
	root, err := os.MkdirTemp("", "rolebridge-testenv-")
	if err != nil {
		return "", err
	}
	held, err = lockFolder(root)
	return root, err
})

// held is the lock on our folder; a file that is collected would be closed, and its lock gone.
var held *os.File

// lockFolder answers an error when another process lives in root.
func lockFolder(root string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

func sweep() {
	old, _ := filepath.Glob(filepath.Join(os.TempDir(), "rolebridge-testenv-*"))
	for _, root := range old {
		// Without a lock file its owner is just about to make it.
		if _, err := os.Stat(filepath.Join(root, "lock")); err != nil {
			continue
		}
		if lock, err := lockFolder(root); err == nil {
			_ = os.RemoveAll(root)
			_ = lock.Close()
		}
	}
}
