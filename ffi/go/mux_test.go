package hybridrt

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
)

func nothing(context.Context, *Job) error { return nil }

// Goal: a program that registers nonsense is stopped when it does so.
func TestHandleFuncRefusesMistakes(t *testing.T) {
	for name, register := range map[string]func(*Mux){
		"empty":   func(m *Mux) { m.HandleFunc("", nothing) },
		"long":    func(m *Mux) { m.HandleFunc(strings.Repeat("k", kindNameMax+1), nothing) },
		"control": func(m *Mux) { m.HandleFunc("a\nb", nothing) },
		"nil":     func(m *Mux) { m.HandleFunc("a", nil) },
		"twice": func(m *Mux) {
			m.HandleFunc("a", nothing)
			m.HandleFunc("a", nothing)
		},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			register(NewMux())
		}()
	}
}

// Goal: the first middleware is the outermost, around every handler.
func TestMiddlewareWrapsInOrder(t *testing.T) {
	var calls []string
	note := func(name string) Middleware {
		return func(next Handler) Handler {
			return func(ctx context.Context, job *Job) error {
				calls = append(calls, name)
				return next(ctx, job)
			}
		}
	}
	var mux Mux
	mux.Use(note("outer"), note("inner"))
	mux.HandleFunc("b", nothing)
	mux.HandleFunc("a", nothing)
	routes := mux.routes()
	if err := routes["a"].handler(context.Background(), nil); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(calls, []string{"outer", "inner"}) ||
		!slices.Equal(kindsOf(routes), []string{"a", "b"}) {
		t.Errorf("%v %v", calls, kindsOf(routes))
	}
}

// Goal: a worker without anything to do says so before it attaches.
func TestWorkerWithoutHandlersDoesNotRun(t *testing.T) {
	if err := (&Worker{}).Run(context.Background()); err == nil {
		t.Error("ran without a Mux")
	}
	if err := (&Worker{Mux: NewMux()}).Run(context.Background()); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
	mux := NewMux()
	mux.HandleFunc("a", nothing)
	worker := Worker{Mux: mux, Concurrency: concurrencyMax + 1}
	if err := worker.Run(context.Background()); !errors.Is(err, ErrLimit) {
		t.Error(err)
	}
}
