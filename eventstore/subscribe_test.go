package eventstore_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/tests"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"tenantpilot/eventstore"
	"tenantpilot/migrations/pgtest"
)

// TestSubscriberConforms runs watermill's own suite on our Subscriber. The suite publishes; the log only has appends, so a publisher for
// the test turns a message into an event whose name is the topic, and Marshal turns a batch of one back into that message.
func TestSubscriberConforms(t *testing.T) {
	db := pgtest.New(t)
	store := openWide(t, db)
	constructor := func(t *testing.T, group string) (message.Publisher, message.Subscriber) {
		sub, err := eventstore.NewSubscriber(store, eventstore.SubscriberConfig{
			Group: group, BatchSize: 1, AckDeadline: time.Second, Marshal: unmarshalMessage,
		})
		if err != nil {
			t.Fatal(err)
		}
		return appendingPublisher{store}, sub
	}
	tests.TestPubSub(t, tests.Features{
		ConsumerGroups: true, ExactlyOnceDelivery: true, GuaranteedOrder: true, Persistent: true, ForceShort: true,
	}, func(t *testing.T) (message.Publisher, message.Subscriber) {
		return constructor(t, "conformance") // topics are unique, so one group serves every test
	}, constructor)
}

// openWide opens a store with a connection for each of the suite's many subscribers: one that waits for its handler holds one.
func openWide(t *testing.T, db *pgtest.DB) *eventstore.Store {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(db.AppURL)
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxConns = 100
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return openPool(t, pool, eventstore.Config{Poll: 50 * time.Millisecond})
}

// storedMessage is a foreign event: watermill's suite publishes bytes that are no domain event.
type storedMessage struct {
	Topic    string            `json:"topic"`
	UUID     string            `json:"uuid"`
	Metadata map[string]string `json:"metadata"`
	Payload  []byte            `json:"payload"`
}

// EventName implements domain.Event.
func (m storedMessage) EventName() string { return m.Topic }

type appendingPublisher struct{ store *eventstore.Store }

func (p appendingPublisher) Publish(topic string, messages ...*message.Message) error {
	for _, m := range messages {
		_, err := p.store.Transact(context.Background(), eventstore.Request{At: at}, func(_ context.Context, u *eventstore.Unit) error {
			u.Append(uuid.New(), storedMessage{Topic: topic, UUID: m.UUID, Metadata: m.Metadata, Payload: m.Payload})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (p appendingPublisher) Close() error { return nil }

func unmarshalMessage(b eventstore.Batch) *message.Message {
	var stored storedMessage
	if err := json.Unmarshal(b.Events[0].Payload, &stored); err != nil {
		panic(err)
	}
	m := message.NewMessage(stored.UUID, stored.Payload)
	m.Metadata = stored.Metadata
	return m
}
