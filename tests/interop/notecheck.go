// Checks what our house published with the tools of Go's module checksum database: note, inclusion, consistency.
// Standard input is JSON: {"verifier":"name+hash+key","note":"…","old":"…","leaves":[{"index":0,"leaf":"b64","path":["b64"]}],"consistency":["b64"]}
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type asked struct {
	Verifier string `json:"verifier"`
	Note     string `json:"note"`
	Old      string `json:"old"`
	Leaves   []struct {
		Index int64    `json:"index"`
		Leaf  string   `json:"leaf"`
		Path  []string `json:"path"`
	} `json:"leaves"`
	Consistency []string `json:"consistency"`
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
}

func hash(text string) tlog.Hash {
	raw, err := base64.StdEncoding.DecodeString(text)
	fail(err)
	var h tlog.Hash
	copy(h[:], raw)
	return h
}

func hashes(texts []string) []tlog.Hash {
	out := make([]tlog.Hash, len(texts))
	for i, text := range texts {
		out[i] = hash(text)
	}
	return out
}

func opened(text string, verifier note.Verifier) (int64, tlog.Hash) {
	n, err := note.Open([]byte(text), note.VerifierList(verifier))
	fail(err)
	lines := strings.Split(n.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	fail(err)
	return size, hash(lines[2])
}

func main() {
	var in asked
	fail(json.NewDecoder(os.Stdin).Decode(&in))
	verifier, err := note.NewVerifier(in.Verifier)
	fail(err)
	size, root := opened(in.Note, verifier)
	oldSize, oldRoot := opened(in.Old, verifier)
	for _, leaf := range in.Leaves {
		fail(tlog.CheckRecord(tlog.RecordProof(hashes(leaf.Path)), size, root, leaf.Index, hash(leaf.Leaf)))
	}
	fail(tlog.CheckTree(tlog.TreeProof(hashes(in.Consistency)), size, root, oldSize, oldRoot))
	fmt.Println(len(in.Leaves), "inclusion proofs and one consistency proof accepted")
}
