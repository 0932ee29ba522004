package eventstore

import (
	"sync"

	"github.com/google/uuid"

	"tenantpilot/domain"
)

// cache keeps folded states of streams, any of which may be behind the database: every append checks the versions it was decided on,
// so a stale entry costs a retry and never a wrong decision. listen forgets all of it when the server may be another. States are values that
// nobody mutates.
type cache struct {
	mu    sync.Mutex
	size  int
	items map[uuid.UUID]cacheItem
}

type cacheItem struct {
	state   any
	version int
}

func newCache(size int) *cache {
	return &cache{size: size, items: make(map[uuid.UUID]cacheItem)}
}

func cached[S domain.State[S]](c *cache, stream uuid.UUID) (S, int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	item := c.items[stream]
	state, ok := item.state.(S)
	if !ok {
		return state, 0
	}
	return state, item.version
}

// put keeps a state unless a newer one is there. When full it drops an arbitrary other one.
func (c *cache) put(stream uuid.UUID, state any, version int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.items[stream]; ok && old.version >= version {
		return
	}
	if len(c.items) >= c.size {
		for victim := range c.items {
			delete(c.items, victim)
			break
		}
	}
	c.items[stream] = cacheItem{state, version}
}

// version is that of the state in memory, 0 without one.
func (c *cache) version(stream uuid.UUID) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.items[stream].version
}

func (c *cache) drop(streams ...uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range streams {
		delete(c.items, s)
	}
}

func (c *cache) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.items)
}
