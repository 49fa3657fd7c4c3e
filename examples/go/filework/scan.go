// tree.scan: list one folder.

package main

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"unicode/utf8"

	hybridrt "hybridrt.dev/go"
)

const (
	followCountMax = 1000 // follow-up jobs of one listing
	// followBytesMax bounds their payloads, so that they fit one settle together with the one
	// that goes on.
	followBytesMax = 160 << 10
	followBytes    = 64 // that a follow-up job needs besides its payload
)

// queues names where the follow-up jobs of each kind wait.
type queues struct {
	Scan   string `json:"scan"`
	Sniff  string `json:"sniff"`
	Digest string `json:"digest"`
}

type scanArgs struct {
	Root   string `json:"root"`
	Path   string `json:"path"`            // of the folder, below root; empty: root itself
	After  string `json:"after,omitempty"` // only names behind this one
	Queues queues `json:"queues"`
}

type scanResult struct {
	Folders int    `json:"folders"`
	Files   int    `json:"files"`
	Path    string `json:"path,omitempty"`
	Error   string `json:"error,omitempty"`
}

// scan enqueues the sub-folders and the regular files of a folder. Symbolic links are not
// followed, and names that are not UTF-8 are left out because JSON cannot carry them. A large
// folder is done in parts: the last follow-up job goes on behind the last name.
func scan(ctx context.Context, job *hybridrt.Job, args scanArgs) error {
	entries, err := os.ReadDir(filepath.Join(args.Root, args.Path))
	if err != nil {
		return job.ReturnJSON(scanResult{Path: args.Path, Error: err.Error()})
	}
	list := listing{job: job, args: args}
	for _, entry := range entries {
		if entry.Name() <= args.After || !utf8.ValidString(entry.Name()) {
			continue
		}
		if err := context.Cause(ctx); err != nil {
			return err
		}
		if list.isFull() {
			if err := list.follow("tree.scan", args.Queues.Scan, list.args); err != nil {
				return err
			}
			break
		}
		if err := list.add(entry); err != nil {
			return err
		}
		list.args.After = entry.Name()
	}
	return job.ReturnJSON(list.result)
}

// listing is one part of a folder.
type listing struct {
	job    *hybridrt.Job
	args   scanArgs
	result scanResult
	count  int // of follow-up jobs
	bytes  int // that they need
}

func (l *listing) isFull() bool {
	return l.count >= followCountMax || l.bytes >= followBytesMax
}

// add enqueues what has to be done about one entry, and counts it.
func (l *listing) add(entry fs.DirEntry) error {
	path := filepath.Join(l.args.Path, entry.Name())
	switch {
	case entry.IsDir():
		l.result.Folders++
		return l.follow("tree.scan", l.args.Queues.Scan,
			scanArgs{Root: l.args.Root, Path: path, Queues: l.args.Queues})
	case entry.Type().IsRegular():
		about, err := entry.Info()
		if err != nil {
			return nil // it vanished between the listing and here
		}
		l.result.Files++
		return l.follow("file.sniff", l.args.Queues.Sniff,
			sniffArgs{Root: l.args.Root, Path: path, Size: about.Size(), Queues: l.args.Queues})
	}
	return nil
}

func (l *listing) follow(kind, queue string, args any) error {
	payload, err := json.Marshal(args)
	if err != nil {
		return err
	}
	l.count++
	l.bytes += followBytes + len(payload)
	return l.job.Enqueue(kind, payload, hybridrt.Queue(queue))
}
