// Numbers of kinds and queues, looked up once. A number never changes while a client is attached.

package hybridrt

import "sync"

// nameTable remembers the numbers of names. Names that are not known are asked for again: they
// may be declared later.
type nameTable struct {
	native *native
	lock   sync.RWMutex
	kinds  map[string]uint16
	queues map[string]uint16
}

func newNameTable(of *native) *nameTable {
	return &nameTable{native: of, kinds: map[string]uint16{}, queues: map[string]uint16{}}
}

func (t *nameTable) kind(name string) (uint16, error) {
	return t.number(t.kinds, name, t.native.kind)
}

func (t *nameTable) queue(name string) (uint16, error) {
	return t.number(t.queues, name, t.native.queue)
}

func (t *nameTable) number(known map[string]uint16, name string,
	ask func(string) (uint16, error)) (uint16, error) {
	t.lock.RLock()
	number, found := known[name]
	t.lock.RUnlock()
	if found {
		return number, nil
	}
	number, err := ask(name)
	if err != nil {
		return 0, err
	}
	t.lock.Lock()
	known[name] = number
	t.lock.Unlock()
	return number, nil
}
