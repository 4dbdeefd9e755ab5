// Package hostile gives every command of swingport that reads something input that is not what it should be: small exports, archives and
// stores, cut and flipped at every byte, and bombs, small files that become large. Each time the command has to say what is wrong, or do
// what it does with the undamaged input; it writes nothing outside of its target, leaves nothing behind and the old store as it was, and
// stays within its memory.
//
// Run is the word hostile of the torture command. The damage that one command is given to one kind of input is a process of its own, so
// that its memory can be measured and a panic has a name.
package hostile
