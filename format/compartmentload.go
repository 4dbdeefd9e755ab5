package format

import (
	"crypto/sha512"
	"encoding/hex"
	"maps"
	"slices"
	"strings"
)

// Loading the modules of a b1 bundle, as the reference does it to check their
// hashes: from the entry module along every import, through the aliases that
// lead from one compartment to another, without running anything
// (@endo/compartment-mapper 2.4.0, src/import-archive-lite.js and src/link.js;
// ses, src/module-load.js). No JavaScript is parsed on that way either: source
// stands in the JSON of a module as a string that nobody reads.

const attenuatorsCompartment = "<ATTENUATORS>"

// moduleRef is a module by its specifier within a compartment.
type moduleRef struct{ compartment, specifier string }

type moduleLoader struct {
	*compartmentMap
	files  map[string][]byte
	unseen map[string]bool
	done   map[moduleRef]bool
	queue  []moduleRef
}

// checkModules loads what the map leads to and reports the first module that
// does not load, or a file of the archive that no module is.
func checkModules(m *compartmentMap, files map[string][]byte) error {
	l := &moduleLoader{m, files, map[string]bool{}, map[moduleRef]bool{}, nil}
	for name := range files {
		if name != compartmentMapFile {
			l.unseen[name] = true
		}
	}
	if err := m.checkLinks(); err != nil {
		return err
	}
	l.queue = append(l.queue, moduleRef{m.entryCompartment, m.entryModule})
	for len(l.queue) > 0 {
		last := len(l.queue) - 1
		ref := l.queue[last]
		l.queue = l.queue[:last]
		if err := l.load(ref); err != nil {
			return err
		}
	}
	if extra := slices.Sorted(maps.Keys(l.unseen)); len(extra) > 0 {
		return errorf(ErrFormat, "archive contains extraneous files: %s", quote(strings.Join(extra, ",")))
	}
	return nil
}

// checkLinks does what assembling the compartments checks.
func (m *compartmentMap) checkLinks() error {
	if c := m.compartments[attenuatorsCompartment]; c != nil && c.policy == nil {
		return errorf(ErrFormat, "%s is missing the required policy", attenuatorsCompartment)
	}
	for _, name := range slices.Sorted(maps.Keys(m.compartments)) {
		c := m.compartments[name]
		if m.compartments[c.location] == nil && !slices.Contains(inheritedByObjects, c.location) {
			return errorf(ErrFormat, "no compartment at location %s", quote(c.location))
		}
		if err := checkGlobals(c.policy); err != nil {
			return err
		}
	}
	return nil
}

// checkGlobals refuses an attenuator of globals: the reference runs it, and
// takes the bundle or not by what it does. It also refuses the three globals
// that nobody can set.
func checkGlobals(policy *jsObject) error {
	if policy == nil {
		return nil
	}
	globals, _ := policy.get("globals")
	if isAttenuation(globals) {
		return errorf(ErrFormat, "compartment map has an attenuator of globals, which only running it could check")
	}
	o, _ := globals.(*jsObject)
	for _, name := range []string{"undefined", "NaN", "Infinity"} {
		if o != nil && o.values[name] == true {
			return errorf(ErrFormat, "policy sets the constant %s", name)
		}
	}
	return nil
}

// load follows aliases from ref to a module and loads that. A ring of aliases
// leaves the reference waiting for ever.
func (l *moduleLoader) load(ref moduleRef) error {
	chain := map[moduleRef]bool{}
	for !l.done[ref] {
		if chain[ref] {
			return errorf(ErrFormat, "module %s is an alias of itself", quote(ref.specifier))
		}
		chain[ref] = true
		next, found, err := l.follow(ref)
		if err != nil {
			return err
		}
		if found {
			break
		}
		ref = next
	}
	for ref := range chain {
		l.done[ref] = true
	}
	return nil
}

// follow makes one step: to the module that ref is an alias of, or, with
// found, by loading ref itself.
func (l *moduleLoader) follow(ref moduleRef) (next moduleRef, found bool, err error) {
	c := l.compartments[ref.compartment]
	v, _ := c.modules.get(ref.specifier)
	d, _ := v.(*jsObject)
	if d == nil || d.has("deferredError") || d.has("exit") || !d.has("compartment") || !d.has("module") {
		return ref, true, l.loadFile(c, ref)
	}
	name, err := jsToString(d.values["compartment"], 0)
	if err != nil {
		return ref, false, err
	}
	if l.compartments[name] == nil {
		return ref, false, errorf(ErrFormat, "cannot import from missing compartment %s", quote(name))
	}
	switch module := d.values["module"].(type) {
	case string:
		return moduleRef{name, module}, false, nil
	case []jsValue, *jsObject: // taken for a namespace object, without imports
		return ref, true, nil
	}
	return ref, false, errorf(ErrFormat, "invalid module descriptor for specifier %s", quote(ref.specifier))
}

// loadFile checks the file of a module and queues what it imports. The modules
// are those of the compartment that the location of c names, usually c.
func (l *moduleLoader) loadFile(c *compartment, ref moduleRef) error {
	at := l.compartments[c.location]
	if at == nil {
		return errorf(ErrFormat, "no modules at location %s", quote(c.location))
	}
	v, _ := at.modules.get(ref.specifier)
	d, _ := v.(*jsObject)
	if d == nil {
		return errorf(ErrFormat, "cannot find module %s in package %s", quote(ref.specifier), quote(c.location))
	}
	if d.has("deferredError") {
		return nil // an error for whoever runs it
	}
	content, parser, err := l.content(c, d)
	if err != nil {
		return err
	}
	if err := checkSpecifier(c.name, ref.specifier); err != nil {
		return err
	}
	imports, err := moduleImports(parser, ref.specifier, content)
	if err != nil {
		return err
	}
	for _, spec := range imports {
		full, err := resolveSpecifier(spec, ref.specifier)
		if err != nil {
			return err
		}
		l.queue = append(l.queue, moduleRef{ref.compartment, full})
	}
	return nil
}

// content returns the bytes of a module's file, with the right hash if the
// map gives one, and the name of its parser.
func (l *moduleLoader) content(c *compartment, d *jsObject) (content []byte, parser string, err error) {
	if !d.has("parser") {
		return nil, "", errorf(ErrFormat, "cannot parse module in package %s; missing parser", quote(c.location))
	}
	if parser, err = jsToString(d.values["parser"], 0); err != nil {
		return nil, "", err
	}
	location := "undefined"
	if v, ok := d.get("location"); ok {
		if location, err = jsToString(v, 0); err != nil {
			return nil, "", err
		}
	}
	path := c.location + "/" + location
	content, ok := l.files[path]
	if !ok {
		return nil, "", errorf(ErrIncomplete, "cannot find file %s in the archive", quote(path))
	}
	delete(l.unseen, path)
	if want, ok := d.get("sha512"); ok && want != sha512Hex(content) {
		return nil, "", errorf(ErrHashMismatch, "module %s failed a SHA-512 integrity check", quote(path))
	}
	return content, parser, nil
}

// moduleImports returns the imports of a module. Those of precompiled modules
// are in its JSON; the other fields are not looked at, but __syncModuleProgram__
// has to convert to a string. The content of json modules is not parsed.
func moduleImports(parser, specifier string, content []byte) ([]string, error) {
	switch parser {
	case "json", "text", "bytes":
		return nil, nil
	case "pre-mjs-json", "pre-cjs-json":
	default:
		return nil, errorf(ErrFormat, "cannot parse module %s; unknown parser (%s)", quote(specifier), quote(parser))
	}
	v, err := parseJSON("module "+quote(specifier), []byte(decodeText(content)))
	if err != nil {
		return nil, err
	}
	record, err := asObject("module "+quote(specifier), v)
	if err != nil {
		return nil, err
	}
	if program, ok := record.get("__syncModuleProgram__"); ok && parser == "pre-mjs-json" {
		if _, err := jsToString(program, 0); err != nil {
			return nil, err
		}
	}
	v, _ = record.get("imports")
	list, ok := v.([]jsValue)
	imports := make([]string, len(list))
	for i := 0; i < len(list) && ok; i++ {
		imports[i], ok = list[i].(string)
	}
	if !ok {
		return nil, errorf(ErrFormat, "invalid module source: 'imports' must be an array of strings for module %s", quote(specifier))
	}
	return imports, nil
}

// checkSpecifier does what joining the package's name and the module's
// specifier checks: the latter is "." or begins with "./" and does not lead
// out of the package.
func checkSpecifier(packageName, specifier string) error {
	base := packageName[strings.LastIndexByte(packageName, '/')+1:]
	if base == "." || base == ".." {
		return errorf(ErrFormat, "external module specifier %s must be absolute", quote(base))
	}
	parts := strings.Split(specifier, "/")
	if parts[0] != "." {
		return errorf(ErrFormat, "internal module specifier %s must be relative", quote(specifier))
	}
	if _, ok := walkPath(nil, parts); !ok {
		return errorf(ErrFormat, "module specifier %s must not refer to a module outside of the base", quote(specifier))
	}
	return nil
}

// resolveSpecifier is the full specifier of what the module referrer imports as spec.
func resolveSpecifier(spec, referrer string) (string, error) {
	if strings.HasPrefix(spec, "file://") || strings.HasPrefix(spec, "/") {
		return spec, nil
	}
	if !strings.HasPrefix(referrer, "./") {
		return "", errorf(ErrFormat, `module referrer %s must begin with "./"`, quote(referrer))
	}
	parts := strings.Split(spec, "/")
	var path, walk []string
	if parts[0] == "." || parts[0] == ".." {
		path = []string{"."}
		walk = strings.Split(referrer, "/")
		walk = walk[:len(walk)-1]
	}
	path, ok := walkPath(path, append(walk, parts...))
	if !ok {
		return "", errorf(ErrFormat, "module specifier %s via referrer %s must not traverse behind an empty path", quote(spec), quote(referrer))
	}
	return strings.Join(path, "/"), nil
}

// walkPath appends parts to path; "." and "" stay, ".." goes back, and from an
// empty path it is not ok.
func walkPath(path, parts []string) ([]string, bool) {
	for _, part := range parts {
		switch part {
		case ".", "":
		case "..":
			if len(path) == 0 {
				return nil, false
			}
			path = path[:len(path)-1]
		default:
			path = append(path, part)
		}
	}
	return path, true
}

func sha512Hex(b []byte) string {
	sum := sha512.Sum512(b)
	return hex.EncodeToString(sum[:])
}
