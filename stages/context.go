package stages

import "context"

type fsKey struct{}

// WithFS makes what runs with the context use fsys for its files: for programs that watch an export or import, or stop it, at one of its file
// operations.
func WithFS(ctx context.Context, fsys *FS) context.Context {
	return context.WithValue(ctx, fsKey{}, fsys)
}

// FSFrom is what WithFS put into the context, or nil.
func FSFrom(ctx context.Context) *FS {
	fsys, _ := ctx.Value(fsKey{}).(*FS)
	return fsys
}
