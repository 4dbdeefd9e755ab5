package format

import (
	"slices"
	"strings"
)

// The compartment map of a b1 bundle, checked as @endo/compartment-mapper 2.4.0
// does it (src/compartment-map.js, assertFileCompartmentMap, and
// src/policy-format.js, assertPackagePolicy).

// compartmentMap is a valid map. Its modules keep their JSON: beside
// deferredError, retained and createdBy the reference checks nothing of them
// (its kind "error" matches every object), so any value can be anywhere.
type compartmentMap struct {
	entryCompartment, entryModule string
	compartments                  map[string]*compartment
}

type compartment struct {
	location, name string
	modules        *jsObject
	policy         *jsObject // nil: none
}

// parseCompartmentMap parses and checks the bytes of compartment-map.json.
func parseCompartmentMap(data []byte) (*compartmentMap, error) {
	v, err := parseJSON("compartment-map.json", []byte(decodeText(data)))
	if err != nil {
		return nil, err
	}
	o, err := asObject("compartment map", v)
	if err != nil {
		return nil, err
	}
	if err := onlyKeys("compartment map", o, "tags", "entry", "compartments"); err != nil {
		return nil, err
	}
	if err := checkTags(o); err != nil {
		return nil, err
	}
	m := &compartmentMap{compartments: map[string]*compartment{}}
	if err := m.readEntry(o); err != nil {
		return nil, err
	}
	if err := m.readCompartments(o); err != nil {
		return nil, err
	}
	if m.compartments[m.entryCompartment] == nil {
		return nil, errorf(ErrFormat, "compartments must contain entry compartment %s", quote(m.entryCompartment))
	}
	return m, nil
}

func checkTags(o *jsObject) error {
	v, ok := o.get("tags")
	if !ok {
		return nil
	}
	list, ok := v.([]jsValue)
	if !ok || slices.ContainsFunc(list, func(v jsValue) bool { return !isString(v) }) {
		return errorf(ErrFormat, "conditions must be an array of strings")
	}
	return nil
}

func (m *compartmentMap) readEntry(o *jsObject) (err error) {
	entry, err := objectMember("entry", o, "entry")
	if err != nil {
		return err
	}
	if err := onlyKeys("entry", entry, "compartment", "module"); err != nil {
		return err
	}
	if m.entryCompartment, err = stringMember("entry", entry, "compartment"); err != nil {
		return err
	}
	m.entryModule, err = stringMember("entry", entry, "module")
	return err
}

func (m *compartmentMap) readCompartments(o *jsObject) error {
	compartments, err := objectMember("compartments", o, "compartments")
	if err != nil {
		return err
	}
	for _, name := range compartments.keys {
		if m.compartments[name], err = readCompartment(name, compartments.values[name]); err != nil {
			return err
		}
	}
	return nil
}

func readCompartment(name string, v jsValue) (c *compartment, err error) {
	path := "compartments[" + quote(name) + "]"
	o, err := asObject(path, v)
	if err != nil {
		return nil, err
	}
	if err := onlyKeys(path, o, "location", "name", "label", "modules", "policy"); err != nil {
		return nil, err
	}
	c = &compartment{}
	if c.location, err = stringMember(path, o, "location"); err != nil {
		return nil, err
	}
	if c.name, err = stringMember(path, o, "name"); err != nil {
		return nil, err
	}
	if _, err = stringMember(path, o, "label"); err != nil {
		return nil, err
	}
	if c.modules, err = objectMember(path+".modules", o, "modules"); err != nil {
		return nil, err
	}
	for _, k := range c.modules.keys {
		if err := checkModule(path+".modules["+quote(k)+"]", c.modules.values[k]); err != nil {
			return nil, err
		}
	}
	c.policy, err = readPolicy(path, o)
	return c, err
}

func checkModule(path string, v jsValue) error {
	m, err := asObject(path, v)
	if err != nil {
		return err
	}
	for _, key := range []string{"deferredError", "createdBy"} {
		if v, ok := m.get(key); ok && !isString(v) {
			return errorf(ErrFormat, "%s.%s must be a string", path, key)
		}
	}
	if v, ok := m.get("retained"); ok && !isBool(v) {
		return errorf(ErrFormat, "%s.retained must be a boolean", path)
	}
	return nil
}

// readPolicy returns the policy of a compartment, nil if it has none.
func readPolicy(path string, o *jsObject) (*jsObject, error) {
	v, ok := o.get("policy")
	if !ok {
		return nil, nil
	}
	p, err := asObject(path+".policy", v)
	if err != nil {
		return nil, err
	}
	if err := onlyKeys(path+".policy", p, "packages", "builtins", "globals", "noGlobalFreeze", "defaultAttenuator", "options"); err != nil {
		return nil, err
	}
	for _, f := range policyFields {
		if v, ok := p.get(f.key); ok && !f.valid(v) {
			return nil, errorf(ErrFormat, "%s.policy.%s is not valid", path, f.key)
		}
	}
	return p, nil
}

var policyFields = []struct {
	key   string
	valid func(jsValue) bool
}{
	{"noGlobalFreeze", isBool},
	{"packages", isPolicyItem},
	{"globals", func(v jsValue) bool { return isPolicyItem(v) || isAttenuation(v) }},
	{"builtins", func(v jsValue) bool {
		return isPolicyItem(v) || isRecordOf(v, func(v jsValue) bool { return isBool(v) || isAttenuation(v) })
	}},
}

func isString(v jsValue) bool { _, ok := v.(string); return ok }
func isBool(v jsValue) bool   { _, ok := v.(bool); return ok }

func isRecordOf(v jsValue, valid func(jsValue) bool) bool {
	o, ok := v.(*jsObject)
	return ok && !slices.ContainsFunc(o.keys, func(k string) bool { return !valid(o.values[k]) })
}

// isPolicyItem reports whether v is "any" or an object of booleans.
func isPolicyItem(v jsValue) bool { return v == "any" || isRecordOf(v, isBool) }

// isAttenuation reports whether v names code that the reference would run:
// an array, or an object with attenuate and maybe params.
func isAttenuation(v jsValue) bool {
	switch v := v.(type) {
	case []jsValue:
		return true
	case *jsObject:
		attenuate, _ := v.get("attenuate")
		params, ok := v.get("params")
		if ok {
			_, ok = params.([]jsValue)
			return ok && isString(attenuate)
		}
		return isString(attenuate)
	}
	return false
}

// asObject returns v if it is an object and no array.
func asObject(path string, v jsValue) (*jsObject, error) {
	o, ok := v.(*jsObject)
	if !ok {
		return nil, errorf(ErrFormat, "%s must be an object", path)
	}
	return o, nil
}

func objectMember(path string, o *jsObject, key string) (*jsObject, error) {
	v, _ := o.get(key)
	return asObject(path, v)
}

func stringMember(path string, o *jsObject, key string) (string, error) {
	v, _ := o.get(key)
	s, ok := v.(string)
	if !ok {
		return "", errorf(ErrFormat, "%s.%s must be a string", path, key)
	}
	return s, nil
}

// onlyKeys checks that o has no other keys than these.
func onlyKeys(path string, o *jsObject, keys ...string) error {
	for _, k := range o.keys {
		if !slices.Contains(keys, k) {
			return errorf(ErrFormat, "%s must not have extra properties; got %s", path, quote(k))
		}
	}
	return nil
}

// inheritedByObjects are the names that every object of JavaScript has.
var inheritedByObjects = strings.Fields(`__proto__ __defineGetter__ __defineSetter__
	__lookupGetter__ __lookupSetter__ constructor hasOwnProperty isPrototypeOf
	propertyIsEnumerable toLocaleString toString valueOf`)
