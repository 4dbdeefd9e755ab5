package pipeline

import (
	"context"
	"math"
	"path/filepath"
	"testing"
	"time"

	"swingport/format"
	"swingport/stages"
	"swingport/testdata"
)

// A stage that is slow is busy, the one in front of it waits for room, the one behind it for input.
func TestStagesOfASlowMiddle(t *testing.T) {
	const n, pause = 20, 10 * time.Millisecond
	status := new(Status)
	r := newRun(context.Background(), status)
	raw, done := stages.NewLink[int](1, nil), stages.NewLink[int](1, nil)
	r.stage("make", func(ctx context.Context) error {
		for i := range n {
			if err := raw.Send(ctx, i); err != nil {
				return err
			}
		}
		return nil
	}, raw)
	r.workers("work", 2, func(ctx context.Context) error {
		return stages.Each(ctx, raw, func(i int) error { time.Sleep(pause); return done.Send(ctx, i) })
	}, done)
	r.stage("take", func(ctx context.Context) error {
		return stages.Each(ctx, done, func(int) error { return nil })
	})
	if err := r.wait(); err != nil {
		t.Fatal(err)
	}
	list := status.Stages()
	if len(list) != 3 || list[0].Name != "make" || list[1].Workers != 2 || list[2].Name != "take" {
		t.Fatalf("%+v", list)
	}
	for i, s := range list {
		if share := s.share([]float64{s.After, s.Busy, s.Before}[i]); share < 0.8 {
			t.Errorf("%s: %.2f of its time is what it should mostly do: %+v", s.Name, share, s)
		}
		if sum := s.Busy + s.Before + s.After; math.Abs(sum-s.Seconds) > 1e-6 {
			t.Errorf("%s: parts of %v s add up to %v s", s.Name, s.Seconds, sum)
		}
	}
	if least := (n * pause).Seconds(); list[1].Busy < least {
		t.Errorf("busy for %v s with %v s of work", list[1].Busy, least)
	}
}

// share is a part of a stage's time.
func (s StageStats) share(part float64) float64 { return part / s.Seconds }

// Every stage of an export to an archive and of its import accounts for all of its time, and phases do not last longer than the run.
func TestStagesOfTransfers(t *testing.T) {
	dir, archive := t.TempDir(), ""
	archive = filepath.Join(dir, "a.tar.zst")
	out, in := new(Status), new(Status)
	sum, err := Export(context.Background(), ExportOptions{
		StateDir: filepath.Join(testdata.Dir(t), "stores", "tiny"), Archive: archive, ArtifactMode: format.Archival, Workers: 2, Status: out,
	})
	if err != nil {
		t.Fatal(err)
	}
	back, err := Import(context.Background(), ImportOptions{StateDir: filepath.Join(dir, "state"), Archive: archive, Workers: 2, Status: in})
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		status  *Status
		seconds float64
		stages  []string
		phases  []string
	}{
		{out, sum.Seconds, []string{"read rows", "check", "compress", "write archive"}, []string{"export", "sync"}},
		{in, back.Seconds, []string{"read artifacts", "artifacts", "insert"}, []string{"check", "swap"}},
	} {
		stats, phases := map[string]StageStats{}, map[string]bool{}
		for _, s := range test.status.Stages() {
			stats[s.Name] = s
			if sum := s.Busy + s.Before + s.After; math.Abs(sum-s.Seconds) > 1e-6 || s.Seconds <= 0 || s.Seconds > 2*test.seconds*float64(s.Workers) {
				t.Errorf("%+v of %v s", s, test.seconds)
			}
		}
		for _, p := range test.status.Phases() {
			phases[p.Name] = true
		}
		for _, name := range test.stages {
			if stats[name].Workers == 0 {
				t.Errorf("no stage %s in %+v", name, test.status.Stages())
			}
		}
		for _, name := range test.phases {
			if !phases[name] {
				t.Errorf("no phase %s in %+v", name, test.status.Phases())
			}
		}
	}
}

// Nobody need ask.
func TestNoStatus(t *testing.T) {
	var s *Status
	if s.Stages() != nil || s.Phases() != nil {
		t.Error("a nil Status has stages or phases")
	}
}
