// Numbers of kinds and queues, looked up once. A number never changes while a client is attached.

package hybridrt

import "sync"

// nameTable knows the numbers of kinds and queues.
type nameTable struct {
	kinds, queues *numberTable
}

func newNameTable(of *native) *nameTable {
	return &nameTable{kinds: newNumberTable(of.kind), queues: newNumberTable(of.queue)}
}

func (t *nameTable) kind(name string) (uint16, error)  { return t.kinds.number(name) }
func (t *nameTable) queue(name string) (uint16, error) { return t.queues.number(name) }

// numberTable remembers what it asked. Names that are not known are asked for again: they may be
// declared later.
type numberTable struct {
	ask   func(name string) (uint16, error)
	lock  sync.RWMutex
	known map[string]uint16
}

func newNumberTable(ask func(string) (uint16, error)) *numberTable {
	return &numberTable{ask: ask, known: map[string]uint16{}}
}

func (t *numberTable) number(name string) (uint16, error) {
	t.lock.RLock()
	number, found := t.known[name]
	t.lock.RUnlock()
	if found {
		return number, nil
	}
	number, err := t.ask(name)
	if err != nil {
		return 0, err
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	t.known[name] = number
	return number, nil
}
