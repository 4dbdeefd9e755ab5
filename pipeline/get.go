package pipeline

import (
	"context"
	"errors"

	"swingport/stages"
)

// Height is the block height that the store in stateDir has committed: host.height, or 0 where there is none. No write lock is taken.
func Height(ctx context.Context, stateDir string) (height float64, err error) {
	err = read(ctx, stateDir, func(s *stages.Store) error {
		height, err = s.Height()
		return err
	})
	return height, err
}

// Get is the value of a kvStore key, any of them; ok is false where the key is missing. No write lock is taken.
func Get(ctx context.Context, stateDir, key string) (value []byte, ok bool, err error) {
	err = read(ctx, stateDir, func(s *stages.Store) error {
		value, ok, err = s.Get(key)
		return err
	})
	return value, ok, err
}

func read(ctx context.Context, stateDir string, f func(*stages.Store) error) error {
	s, err := stages.OpenStore(ctx, stateDir, nil)
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.Unchanged(), s.Close())
}
