package stages

import "context"

// Job is one element of work whose results come through a link of its own, so that jobs may be worked on side by side and their
// results still be taken in the order of the jobs.
type Job[In, Out any] struct {
	In  In
	Out *Link[Out]
}

// Ordered is parallel work that keeps its order: Dispatch hands each element to a free worker and puts it at the end of the queue;
// workers fill the jobs' own links; the stage behind takes jobs from Queue and empties their links one after the other.
//
// A worker's chunks must come from a pool of its own: the job at the head of the queue then never waits for chunks that jobs behind it hold.
type Ordered[In, Out any] struct {
	Queue *Link[*Job[In, Out]]
	todo  *Link[*Job[In, Out]]
	depth int
	drop  func(Out)
}

// NewOrdered makes the links for a number of workers, each up to depth results ahead; drop releases a result that nobody will receive.
func NewOrdered[In, Out any](workers, depth int, drop func(Out)) *Ordered[In, Out] {
	return &Ordered[In, Out]{
		Queue: NewLink[*Job[In, Out]](2*workers, nil),
		todo:  NewLink[*Job[In, Out]](workers, nil),
		depth: depth, drop: drop,
	}
}

// Dispatch queues one element; the runner closes the links through Close when the dispatching stage is done.
func (o *Ordered[In, Out]) Dispatch(ctx context.Context, in In) error {
	j := &Job[In, Out]{in, NewLink(o.depth, o.drop)}
	if err := o.Queue.Send(ctx, j); err != nil {
		return err
	}
	return o.todo.Send(ctx, j)
}

// Close says that no more elements come.
func (o *Ordered[In, Out]) Close() {
	o.Queue.Close()
	o.todo.Close()
}

// Work is the body of one worker: it calls work for each job it gets, until there are none. work sends results to the job's link.
func (o *Ordered[In, Out]) Work(ctx context.Context, work func(context.Context, In, *Link[Out]) error) error {
	return Each(ctx, o.todo, func(j *Job[In, Out]) error {
		if err := work(ctx, j.In, j.Out); err != nil {
			return err
		}
		j.Out.Close()
		return nil
	})
}
