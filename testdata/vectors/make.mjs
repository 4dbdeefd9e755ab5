// Writes the vectors beside it: what JavaScript itself makes of text, numbers
// and JSON. Plain node, no dependencies:
//
//   node make.mjs
//
// Bytes and strings are hexadecimal (a string that has lone surrogates as its
// UTF-16 code units), a float64 is its 16 hexadecimal digits, so that reading a
// vector needs none of the code that it tests.
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const hex = x => Buffer.from(x).toString('hex');
const units = s => [...Array(s.length)].map((_, i) => s.charCodeAt(i).toString(16).padStart(4, '0')).join('');
const bits = f => {
  const b = Buffer.alloc(8);
  b.writeDoubleBE(f);
  return b.toString('hex');
};
const write = (name, cases) => {
  const lines = cases.map(c => JSON.stringify(c)).join(',\n');
  writeFileSync(join(here, name), `[\n${lines}\n]\n`);
};

// A generator of its own, so that a second run writes the same bytes.
let state = 12345n;
const random = () => {
  state = (state * 6364136223846793005n + 1442695040888963407n) & 0xffffffffffffffffn;
  return Number(state >> 33n);
};

const decoder = new TextDecoder('utf-8', { ignoreBOM: true });
const decode = bytes => {
  const s = decoder.decode(Uint8Array.from(bytes));
  if (s !== Buffer.from(bytes).toString('utf8')) throw Error(`node decodes ${hex(bytes)} in two ways`);
  return s;
};

// stringify.json: in, UTF-8; out, JSON.stringify of it.
{
  const cases = [];
  const add = s => cases.push({ in: hex(s), out: hex(JSON.stringify(s)) });
  add('');
  for (let c = 0; c < 128; c += 1) add(String.fromCharCode(c));
  for (const c of ['"', '\\', '\n', '\0', '\x1f', '\x7f', 'é', '\u2028', '\u{1F600}']) {
    for (let n = 0; n <= 17; n += 1) add(`${'a'.repeat(n)}${c}${'b'.repeat(17 - n)}`);
    add(c.repeat(20));
  }
  add('</script>&\u2028\u2029\ufeff\uffff\ufffd\u0080\u07ff\u0800\ud7ff\ue000\u{10000}\u{10ffff}');
  add('{"body":"#\\"$0.Alleged: x\\"","slots":["ko12"]}');
  for (let i = 0; i < 60; i += 1) {
    const s = [];
    for (let n = random() % 40; n > 0; n -= 1) {
      const r = random() % 16;
      s.push(r < 8 ? 32 + (random() % 95) : r < 12 ? random() % 48 : r < 15 ? random() % 0xd800 : 0x10000 + (random() % 0x100000));
    }
    add(String.fromCodePoint(...s));
  }
  write('stringify.json', cases);
}

// decode.json: in, any bytes; out, the UTF-8 of what they decode to. Where there
// is a digest instead: every sequence of `length` bytes over `alphabet`, the
// first one fastest, each decoded by itself and followed by 0A, and the SHA-256
// of all that.
{
  const alphabet = [0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef, 0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff];
  const cases = [];
  const add = bytes => cases.push({ in: hex(bytes), out: hex(decode(bytes)) });
  for (const s of ['61ff62', 'e282', 'eda080', 'edb080', 'eda080edb080', 'c080', 'f0908080', 'f09080', 'f090', 'f0', 'f08080', 'f4908080', 'f48fbfbf', 'efbbbf61', 'e282e282ac', 'ff', '80', '80808080', 'e0a0', 'e080', '61e28261', 'f0909061', '6100ff00', 'fefffdfc']) {
    add([...Buffer.from(s, 'hex')]);
  }
  for (const a of alphabet) for (const b of alphabet) add([a, b]);
  for (const length of [3, 4]) {
    const h = createHash('sha256');
    for (let i = 0; i < alphabet.length ** length; i += 1) {
      const bytes = [];
      for (let n = i; bytes.length < length; n = Math.floor(n / alphabet.length)) bytes.push(alphabet[n % alphabet.length]);
      h.update(`${decode(bytes)}\n`);
    }
    cases.push({ alphabet: hex(alphabet), length, digest: h.digest('hex') });
  }
  write('decode.json', cases);
}

// trimend.json: every code point that trimEnd() removes.
{
  const cases = [];
  for (let c = 0; c < 0x110000; c += 1) {
    if (String.fromCodePoint(97, c).trimEnd() === 'a') cases.push(c);
  }
  write('trimend.json', cases);
}

// tostring.json: bits of a float64, and what String() and JSON.stringify() print.
{
  const cases = [];
  const add = f => cases.push({ bits: bits(f), string: String(f), json: JSON.stringify(f) });
  [0, -0, 1, -1, 0.1, -0.1, 0.5, 1.5, 100, 1e3, 1e15, 1e16, 123456789012345680000, 1e20, 1e21, 1.5e21, -1e21, 1e22, 1e23, 1e100, 1e-5, 1e-6, 1.5e-6,
    1e-7, 1.5e-7, 9.999e-7, 1e-10, 1e-100, 1e-323, 5e-324, 1.7976931348623157e308, 2 ** 53, 2 ** 53 - 1, 2 ** 53 + 2, -(2 ** 53), 2 ** 63, 2 ** 64, 999999999999999900000,
    1 / 3, 2 / 3, 1e21 / 3, 4.35, 0.000001, 0.0000001, NaN, Infinity, -Infinity].forEach(add);
  for (let e = -30; e < 30; e += 1) add((random() + 1) * 10 ** e);
  for (let i = 0; i < 200; i += 1) {
    const b = Buffer.alloc(8);
    b.writeUInt32BE((random() ^ (random() << 1)) >>> 0);
    b.writeUInt32BE((random() ^ (random() << 1)) >>> 0, 4);
    add(b.readDoubleBE());
  }
  write('tostring.json', cases);
}

// number.json: a string, and the bits of Number() of it.
{
  const cases = [];
  const add = s => cases.push({ in: s, bits: bits(Number(s)) });
  ['', ' ', '\n\t', '0', '00', '007', '5', ' 5 ', '\ufeff5\u2028', '\u00855', '\u180e5', '+5', '-5', '- 5', '+-5', '-0', '1e3', '1E3', '1e+3', '1e-3', '1e', '1e+', 'e3', '.5', '5.', '.', '-.', '+.5e1',
    '1.5.5', '1_000', '1,000', '0x10', '0X1F', '0xg', '0x', '-0x10', '0x1_0', '0x+1', '0o17', '0O17', '0o8', '0b101', '0B2', '0b', '0b102', 'Infinity', '-Infinity', '+Infinity', 'infinity', 'inf', 'INF', 'NaN', 'nan',
    'abc', '5n', '5px', '1 2', '1e400', '-1e400', '1e-400', '9007199254740993', '9007199254740992.5', '0x20000000000001', '0x20000000000003', '0xfffffffffffffbff', '0xfffffffffffffc00',
    '0b100000000000000000000000000000000000000000000000000001', '0x1p3', '1p3', '0x.8', '１', 'null', 'true', 'undefined', '0.1', '1e21', '2.2250738585072011e-308', '123456789012345678901234567890',
    `0x${'f'.repeat(300)}`, '9'.repeat(400), `0.${'0'.repeat(400)}1`, '5\0', '0x1\0', '0e0', '-0e5', '1e0000000000000000001', '١'].forEach(add);
  write('number.json', cases);
}

// lines.json: a line of export data as bytes, and what JSON.parse makes of it:
// ok is false where it throws or is no array of a string and a string or null
// (or nothing), else key and value are UTF-16 code units, value null if nullish.
{
  const cases = [];
  const add = bytes => {
    const line = hex(bytes);
    let v;
    try {
      v = JSON.parse(decode([...Buffer.from(bytes)]));
    } catch (_) {
      cases.push({ line, ok: false });
      return;
    }
    const ok = Array.isArray(v) && typeof v[0] === 'string' && (v[1] == null || typeof v[1] === 'string');
    cases.push(ok ? { line, ok, key: units(v[0]), value: v[1] == null ? null : units(v[1]) } : { line, ok });
  };
  const texts = ['', 'a', 'a"b', '\\', '\n\r\t\b\f', '\0\x01\x1f', '\x7f/', 'é€\u{1F600}', '\u2028\u2029\ufeff', '{"vatID":"v1","a":[1,null]}', 'aaaaaaa"', 'aaaaaaaa"', 'aaaaaaaaa"bbbbbbbbbbbbbbb\\c'];
  for (const s of texts) {
    add(JSON.stringify([`kv.${s}`, s]));
    add(JSON.stringify([`kv.${s}`, s]).replace(/[^\x20-\x7e]/g, c => `\\u${units(c)}`));
    add(JSON.stringify([s, null]));
  }
  const u = n => `\\u${n}`;
  for (const s of [u('d800'), u('dc00'), `${u('d83d')}${u('de00')}`, `${u('D83D')}${u('DE00')}`, `${u('de00')}${u('d83d')}`, `${u('d83d')}x${u('de00')}`, `${u('d83d')}${u('d83d')}${u('de00')}`, `${u('d83d')}${u('0041')}`,
    u('0000'), u('00e9'), u('00E9'), u('ffff'), u('123'), u('12g4'), '\\u', '\\', '\\x41', '\\v', '\\/', "\\'", '\\u+123', '\\u 123', '\\U0041', '\\0']) {
    add(`["kv.a${s}","b${s}"]`);
    add(`["kv.a","${s}"]`);
    add(`["kv.a","${s}`);
  }
  for (const s of ['', ' ', '[]', '[', ']', '["a"', '["a",', '["a","b"', '["a","b"]x', '["a","b"],', '["a","b",]', '["a",]', '[,"a"]', '["a" "b"]', '["a"]', ' [ "a" ] ', ' [ "a" , "b" ] ', '\t[\r"a"\n,\t"b"\r]\n',
    '["a","b"]\u00a0', '\ufeff["a","b"]', '["a",null]', '["a",nul]', '["a",nullx]', '["a",null', '["a", null ]', '["a",null,1]', '["a",undefined]', '["a",true]', '["a",false]', '["a",0]', '["a",1e5]', '["a",-]', '["a",01]', '["a",.5]',
    '["a",5.]', '["a",{}]', '["a",["b"]]', '[null,"b"]', '[1,"b"]', '[["a"],"b"]', '[{},"b"]', '["a","b","c"]', '["a","b",{"x":[1,2,{"y":"]"}]}]', '["a","b",]', '["a","b",1 2]', '["a","b",nope]', '["a","b"', "['a','b']",
    '{"a":"b"}', '"ab"', 'null', '5', 'true', '[[]]', '["a\n","b"]', '["a","b\t"]', '["a","b\x00"]', '["a","b\x7f"]', '["a","b\x1f"]', '/**/["a","b"]', '["a"//\n,"b"]', 'NaN', '[NaN]', '["a",Infinity]', '["a","b"]]', '[["a","b"]',
    '["kv.","x"]', '["kv","x"]', '["kv.a.b","x"]', '[ "kv.k" ,"v" ]', '["a":"b"]', '{"a","b"}', '["a",nUll]', '["a",\u00a0"b"]', '["a",\v"b"]', '["a",\f"b"]']) add(s);
  for (const s of ['ff', 'e282', 'eda080', 'c080', 'f0908080', 'f09f98', 'efbbbf', '80']) add(Buffer.concat([Buffer.from('["kv.x'), Buffer.from(s, 'hex'), Buffer.from('","y'), Buffer.from(s, 'hex'), Buffer.from('z"]')]));
  add(Buffer.from('["a","b"]ff'));
  add(Buffer.concat([Buffer.from('["a","b"]'), Buffer.from('ff', 'hex')]));
  write('lines.json', cases);
}

// records.json: rows as better-sqlite3 returns them, and their lines. A column
// is null, a number ({n: bits}), text ({t: hex}) or a BLOB ({b: hex}).
{
  const cases = [];
  const column = v => (v === null ? null : typeof v === 'number' ? { n: bits(v) } : typeof v === 'string' ? { t: hex(v) } : { b: hex(v) });
  const columns = row => Object.fromEntries(Object.entries(row).map(([k, v]) => [k, column(v)]));
  const line = (key, value) => `${JSON.stringify([key, value])}\n`;
  const span = (row, isCurrent) => {
    const { vatID, startPos, endPos, hash, incarnation } = row;
    const rec = { vatID, startPos, endPos, hash, isCurrent: isCurrent ? 1 : 0, incarnation };
    const key = isCurrent ? `transcript.${vatID}.current` : `transcript.${vatID}.${startPos}`;
    cases.push({ kind: 'transcript', columns: columns(row), current: isCurrent, out: hex(line(key, JSON.stringify(rec))) });
  };
  const snapshot = (row, inUse) => {
    const { vatID, snapPos, hash } = row;
    const key = `snapshot.${vatID}.${snapPos}`;
    const out = line(key, JSON.stringify({ vatID, snapPos, hash, inUse: inUse ? 1 : 0 })) + (inUse ? line(`snapshot.${vatID}.current`, key) : '');
    cases.push({ kind: 'snapshot', columns: columns(row), current: inUse, out: hex(out) });
  };
  const bundle = bundleID => cases.push({ kind: 'bundle', columns: columns({ bundleID }), out: hex(line(`bundle.${bundleID}`, bundleID)) });
  const kv = (key, value) => cases.push({ kind: 'kv', columns: columns({ key, value }), out: hex(line(`kv.${key}`, value)) });

  const hash = createHash('sha256').update('x').digest('hex');
  for (const current of [true, false]) {
    span({ vatID: 'v1', startPos: 0, endPos: 3, hash, incarnation: 0 }, current);
    span({ vatID: 'v1', startPos: 0, endPos: null, hash: null, incarnation: null }, current);
    span({ vatID: 'a"b\\é\n', startPos: 2 ** 53, endPos: 1e21, hash: '"\u0001', incarnation: -1 }, current);
    span({ vatID: null, startPos: 1.5, endPos: 'x', hash: 5, incarnation: 1e-7 }, current);
    span({ vatID: Buffer.from('v"9'), startPos: null, endPos: Infinity, hash: Buffer.from([1, 255]), incarnation: -0 }, current);
    snapshot({ vatID: 'v1', snapPos: 7, hash }, current);
    snapshot({ vatID: 'v"\t1', snapPos: null, hash: null }, current);
    snapshot({ vatID: null, snapPos: 0.25, hash: Buffer.alloc(0) }, current);
    snapshot({ vatID: Buffer.from('\n'), snapPos: 'p"q', hash: '' }, current);
  }
  for (const id of ['b0-00', 'b1-"', null, 12, 1.5, Buffer.from('b')]) bundle(id);
  for (const v of ['', 'x', null, 5, -0, 1e300, Infinity, NaN, Buffer.alloc(0), Buffer.from([0, 7, 255]), '{"a":"\\u0000"}\n', '\0a\0']) kv('v1.c.ko"1', v);
  kv('', '');
  write('records.json', cases);
}

// manifest.json: a manifest's members, and JSON.stringify(m, null, 2) of it.
{
  const cases = [];
  const add = m => cases.push({ height: bits(m.blockHeight), mode: m.artifactMode, artifacts: m.artifacts, data: m.data ?? '', out: hex(JSON.stringify(m, null, 2)) });
  add({ blockHeight: 0, artifactMode: 'none', artifacts: [] });
  add({ blockHeight: 5, artifactMode: 'none', artifacts: [], data: 'export-data.jsonl' });
  add({ blockHeight: 1e21, artifactMode: 'operational', artifacts: [['a', 'a']] });
  add({ blockHeight: 1.5, artifactMode: 'debug', artifacts: [['snapshot.v1.5', 'f"1'], ['b\n\\', 'é\u2028']], data: 'export-data.jsonl' });
  add({ blockHeight: Infinity, artifactMode: 'archival', artifacts: [['1', '1'], ['2', '2'], ['3', '3']], data: 'd' });
  write('manifest.json', cases);
}
