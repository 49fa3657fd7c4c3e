// Counters and latencies, read from the page that the runtime shares with every client.

package hybridrt

import "time"

// Stats is a snapshot of the runtime's counters. The runtime goes on while it is taken, so sums
// may be off by what happened meanwhile.
type Stats struct {
	Jobs      uint64    // living jobs
	Sequence  uint64    // of the newest record in the log
	Epoch     uint64    // how many writers the log has had
	Bytes     uint64    // written to the log
	Syncs     uint64    // times the log was synced to disk
	Clients   uint64    // attached now
	Refused   uint64    // settles whose lease was no longer current
	Rescues   uint64    // wake-ups that were lost and made good; stays 0
	Recovered Histogram // from the death of a worker to its jobs being ready
	Queues    []QueueStats
	Kinds     []KindStats
}

// QueueStats are the counters of one queue: first totals since the runtime started, then what is
// in each state now.
type QueueStats struct {
	Name      string
	Enqueued  uint64
	Rejected  uint64
	Completed uint64
	Retried   uint64
	Snoozed   uint64
	Discarded uint64
	Cancelled uint64
	Expired   uint64
	Crashed   uint64
	TimedOut  uint64

	Scheduled uint64
	Ready     uint64
	Running   uint64
	Retrying  uint64
	Dead      uint64
	Retained  uint64 // ended, kept for the result
	Paused    bool
}

// KindStats are the counters of one kind.
type KindStats struct {
	Name      string
	Leased    uint64
	Completed uint64
	Failed    uint64
	Workers   uint64    // clients that serve it now
	Wait      Histogram // from ready to handed over
	Run       Histogram // from handed over to settled
}

// Histogram counts durations. Its places are about 6 % wide.
type Histogram struct {
	Count   uint64
	Sum     time.Duration
	Max     time.Duration
	buckets [histogramPlaces]uint64
}

// Quantile returns the duration that the share q of all values, 0 to 1, does not exceed by more
// than the width of a place. It is 0 when there are no values.
func (h *Histogram) Quantile(q float64) time.Duration {
	var total uint64
	for _, count := range h.buckets {
		total += count
	}
	wanted := uint64(q * float64(total))
	var seen uint64
	for place, count := range h.buckets {
		seen += count
		if count > 0 && seen >= wanted {
			return histogramValue(place)
		}
	}
	return 0
}

// Record adds one value. A Histogram is not safe for use by several goroutines at once.
func (h *Histogram) Record(value time.Duration) {
	h.Count++
	h.Sum += value
	h.Max = max(h.Max, value)
	h.buckets[histogramPlace(value)]++
}

// Buckets returns the places that hold values, by their index in the layout of abi.h.
func (h *Histogram) Buckets() map[int]uint64 {
	found := map[int]uint64{}
	for place, count := range h.buckets {
		if count > 0 {
			found[place] = count
		}
	}
	return found
}

// Stats reads the runtime's counters.
func (c *Client) Stats() (Stats, error) {
	if err := c.enter(); err != nil {
		return Stats{}, err
	}
	defer c.leave()
	return c.native.stats(), nil
}

// Monotonic reads the clock that all processes of the machine share and that nobody can set: the
// difference of two readings, of whatever processes, is the time between them.
func Monotonic() time.Duration { return monotonic() }
