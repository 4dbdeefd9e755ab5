package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// largeScenarios are those that are killed at a random time, on the large store.
func largeScenarios() []*scenario {
	return []*scenario{
		{name: "large: export to a directory", job: job{Do: "export"}, source: full, old: none},
		{name: "large: export to a directory, --resume", job: job{Do: "export", Resume: true}, source: full, old: none},
		{name: "large: export to .tar.zst", job: job{Do: "export", Archive: "x.tar.zst"}, source: full, old: none},
		{name: "large: import of a directory, over full -wal", job: job{Do: "import"}, source: full, old: full},
		{name: "large: import of .tar.zst, over idle, --keep-old --writer pages",
			job: job{Do: "import", Archive: "x.tar.zst", KeepOld: true, Writer: "pages"}, source: full, old: idle},
		{name: "large: copy, over damaged", job: job{Do: "copy"}, source: full, old: damaged},
	}
}

// atRandom kills runs after times that lie evenly over the length of one, which is measured first; and every fourth one soon after its result is in
// place, a moment that is too short to be hit by chance.
func (r *row) atRandom(ctx context.Context, rng *rand.Rand) error {
	for i := 0; r.killed() < r.kills; i++ {
		part := (float64(i%r.kills) + rng.Float64()) / float64(r.kills)
		b := blow{after: max(time.Duration(part*float64(r.took)), time.Millisecond)}
		if i%4 == 3 {
			b = blow{after: time.Duration(rng.IntN(3)) * time.Millisecond, placed: true}
		}
		if err := r.kill(ctx, fmt.Sprintf("kill-%d", i), b); err != nil {
			return err
		}
		if i > 10*r.kills+20 {
			return fmt.Errorf("%s: too few runs live long enough to be killed", r.name)
		}
	}
	return nil
}
