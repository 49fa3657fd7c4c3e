package hybridrt

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
)

const layoutPath = "../../tests/abi/layout.txt"

// golden reads a file of the repository that this package is developed in.
func golden(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if os.IsNotExist(err) {
		t.Skipf("%s belongs to the repository, and this is a copy of the package alone", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// describe writes a struct down in the form of layout.txt.
func describe(name string, kind reflect.Type) []string {
	lines := []string{fmt.Sprintf("struct %s size=%d align=%d", name, kind.Size(), kind.Align())}
	for i := range kind.NumField() {
		field := kind.Field(i)
		if field.Name == "_" { // padding that cgo adds
			continue
		}
		lines = append(lines, fmt.Sprintf("  %s offset=%d size=%d",
			strings.TrimPrefix(field.Name, "_"), field.Offset, field.Type.Size()))
	}
	return lines
}

// Goal: the structs of abi.h lie for cgo as they lie for C.
func TestStructsLieAsTheGoldenFileSays(t *testing.T) {
	wanted := map[string][]string{}
	var name string
	for _, line := range strings.Split(golden(t, layoutPath), "\n") {
		if strings.HasPrefix(line, "struct ") {
			name = strings.Fields(line)[1]
			wanted[name] = []string{line}
		} else if strings.HasPrefix(line, "  ") {
			wanted[name] = append(wanted[name], line)
		}
	}
	seen := abiTypes()
	for name, lines := range wanted {
		kind, known := seen[name]
		if !known {
			t.Errorf("struct %s is in layout.txt but not in abiTypes", name)
			continue
		}
		if found := describe(name, kind); !reflect.DeepEqual(found, lines) {
			t.Errorf("struct %s:\n got %s\nwant %s", name, strings.Join(found, "\n"),
				strings.Join(lines, "\n"))
		}
	}
	if len(wanted) == 0 || len(seen) != len(wanted) {
		t.Errorf("layout.txt has %d structs, abiTypes %d", len(wanted), len(seen))
	}
}

// Goal: the values that this package builds on are those of the golden file.
func TestValuesAreAsTheGoldenFileSays(t *testing.T) {
	wanted := map[string]int{}
	for _, line := range strings.Split(golden(t, layoutPath), "\n") {
		var enum, name string
		var value int
		line = strings.Replace(line, "=", " ", 1)
		if count, _ := fmt.Sscanf(line, "enum %s %s %d", &enum, &name, &value); count == 3 {
			wanted[name] = value
		}
	}
	for name, value := range abiValues() {
		golden, known := wanted[name]
		if !known || golden != value {
			t.Errorf("%s is %d here and %d in layout.txt (known: %v)", name, value, golden, known)
		}
	}
}

// Goal: the package and the library that it is built over are of one release.
func TestLibraryHasTheVersionOfThePackage(t *testing.T) {
	if libraryVersion() != Version {
		t.Errorf("the package is %s, the library %s", Version, libraryVersion())
	}
}
