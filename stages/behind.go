package stages

// behind does one thing at a time beside the goroutine that owns it: a buffer is filled while the one before it is written. After
// something failed nothing is done any more.
type behind struct {
	done chan error // of what is being done; nil when nothing is
	err  error      // the first
}

// start begins to do f when what was begun before is done, and returns the error of that.
func (b *behind) start(f func() error) error {
	if err := b.wait(); err != nil {
		return err
	}
	done := make(chan error, 1)
	b.done = done
	go func() { done <- f() }()
	return nil
}

// wait waits until nothing is being done.
func (b *behind) wait() error {
	if b.done != nil {
		b.err, b.done = <-b.done, nil
	}
	return b.err
}
