// Writes the files of this folder and verdicts.json, which holds what the
// reference's own importBundle said to each. Usage: node make.mjs NODE_MODULES
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const here = import.meta.dirname ?? path.dirname(new URL(import.meta.url).pathname);
const modules = path.resolve(process.argv[2]);
const load = name => import(pathToFileURL(path.join(modules, name)));
await load('@agoric/cosmic-swingset/src/helpers/maybe-unsafe-lockdown.js');
const { makeBundleStore } = await load('@agoric/swing-store/src/bundleStore.js');
const Database = createRequire(path.join(modules, 'x.js'))('better-sqlite3');

const sha = (kind, data) => createHash(kind).update(data).digest('hex');
const table = Array.from({ length: 256 }, (_, n) => {
  for (let k = 0; k < 8; k += 1) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1;
  return n >>> 0;
});
const crc32 = data => ~data.reduce((c, x) => (c >>> 8) ^ table[(c ^ x) & 255], ~0) >>> 0;
const le = (size, v) => {
  const b = Buffer.alloc(size);
  b.writeUIntLE(v, 0, size);
  return b;
};

// One zip. Entries: {name, content, local: {...}, central: {...}}, where local
// and central replace fields; end replaces fields of the end record.
const zip = (entries, end = {}) => {
  let front = Buffer.alloc(0);
  let directory = Buffer.alloc(0);
  for (const e of entries) {
    const content = Buffer.from(e.content);
    const both = { flags: 0, method: 0, crc: crc32(content), size: content.length, original: content.length, name: Buffer.from(e.name) };
    const header = f => [le(2, 10), le(2, f.flags), le(2, f.method), le(4, 0), le(4, f.crc), le(4, f.size), le(4, f.original), le(2, f.name.length), le(2, 0)];
    const l = { ...both, ...e.local };
    const c = { start: front.length, attributes: 0, ...both, ...e.central };
    front = Buffer.concat([front, Buffer.from('PK\x03\x04'), ...header(l), l.name, content]);
    directory = Buffer.concat([directory, Buffer.from('PK\x01\x02'), le(2, 0), ...header(c), le(2, 0), le(2, 0), le(2, 0), le(4, c.attributes), le(4, c.start), c.name]);
  }
  const f = { disk: 0, count: entries.length, size: directory.length, offset: front.length, comment: '', ...end };
  return Buffer.concat([front, directory, Buffer.from('PK\x05\x06'), le(2, f.disk), le(2, 0), le(2, f.count), le(2, f.count), le(4, f.size), le(4, f.offset), le(2, f.comment.length), Buffer.from(f.comment)]);
};

// The good bundle that every defect starts from: three modules, two
// compartments, one alias, one hash.
const P = 'p-v1';
const M = 'm.js';
const record = (imports, more) => JSON.stringify({ imports, exports: [], reexports: [], __syncModuleProgram__: '({})', ...more });
const goodFiles = () => ({ 'p-v1/index.js': record(['./m.js', 'q']), 'p-v1/m.js': record([]), 'q-v1/q.js': '{"a":1}' });
const goodMap = () => ({
  tags: [],
  entry: { compartment: P, module: './index.js' },
  compartments: {
    [P]: { name: 'p', label: 'p', location: P, modules: {
      './index.js': { location: 'index.js', parser: 'pre-mjs-json' },
      './m.js': { location: M, parser: 'pre-mjs-json', sha512: sha('sha512', record([])) },
      q: { compartment: 'q-v1', module: './q.js' },
    } },
    'q-v1': { name: 'q', label: 'q', location: 'q-v1', modules: { './q.js': { location: 'q.js', parser: 'json' } } },
  },
});

const vectors = [];
const add = (file, id, data) => vectors.push({ file, id, data: Buffer.from(data) });
// change alters map, files, entries or end; text prints the map.
const b1 = (name, change = () => {}) => {
  const b = { map: goodMap(), files: goodFiles(), text: JSON.stringify, edit: () => {}, end: {}, cut: x => x };
  change(b);
  const text = Buffer.from(b.text(b.map));
  const entries = [['compartment-map.json', text], ...Object.entries(b.files)].map(([n, content]) => ({ name: n, content }));
  b.edit(entries);
  add(`b1-${name}.zip`, b.id ?? `b1-${sha('sha512', text)}`, b.cut(zip(entries, b.end)));
};
const main = b => b.map.compartments[P];

b1('good');
b1('good-directory-entry', b => { b.edit = e => e.push({ name: 'd/', content: '', central: { attributes: 0x10 } }); });
b1('good-duplicate-file-last-one-counts', b => { b.edit = e => e.splice(1, 0, { name: 'p-v1/m.js', content: 'other' }); });
b1('good-backslash-in-central-name-of-directory', b => { b.edit = e => e.push({ name: 'd/', content: '', central: { attributes: 0x10, name: Buffer.from('d\\') } }); });
b1('good-module-json-not-parsed', b => { b.files['q-v1/q.js'] = '{'; });
b1('good-module-byte-order-mark', b => { delete main(b).modules['./m.js'].sha512; b.files['p-v1/m.js'] = `\ufeff${record([])}`; });
b1('good-map-byte-order-mark', b => { b.text = m => `\ufeff${JSON.stringify(m)}`; });
b1('good-module-deferred-error', b => { main(b).modules.q = { deferredError: 'x' }; delete b.files['q-v1/q.js']; });
b1('good-module-location-undefined', b => { delete main(b).modules['./m.js'].location; b.files['p-v1/undefined'] = b.files['p-v1/m.js']; delete b.files['p-v1/m.js']; });
b1('good-import-cycle', b => { delete main(b).modules['./m.js'].sha512; b.files['p-v1/m.js'] = record(['./index.js']); });
b1('good-policy', b => { main(b).policy = { packages: { q: true }, globals: { console: true }, builtins: 'any' }; });

b1('id-of-other-map', b => { b.id = `b1-${sha('sha512', 'x')}`; });
b1('id-upper-case', b => { b.id = `b1-${sha('sha512', JSON.stringify(b.map)).toUpperCase()}`; });
b1('prefix-unknown', b => { b.id = `b2-${sha('sha512', JSON.stringify(b.map))}`; });
b1('zip-empty', b => { b.cut = () => Buffer.alloc(0); });
b1('zip-cut-by-one-byte', b => { b.cut = x => x.subarray(0, -1); });
b1('zip-comment', b => { b.end = { comment: 'c' }; });
b1('zip-bytes-in-front', b => { b.cut = x => Buffer.concat([Buffer.alloc(100), x]); });
b1('zip-directory-too-long', b => { b.end = { size: 0x7fffffff }; });
b1('zip-zip64-end', b => { b.end = { offset: 0xffffffff }; });
b1('zip-zip64-disk', b => { b.end = { disk: 0xffff }; });
b1('zip-count-one-less', b => { b.end = { count: 3 }; });
b1('zip-count-one-more', b => { b.end = { count: 5 }; });
b1('zip-deflate-method', b => { b.edit = e => { e[2].local = { method: 8 }; e[2].central = { method: 8 }; }; });
b1('zip-encrypted-flag', b => { b.edit = e => { e[2].local = { flags: 1 }; e[2].central = { flags: 1 }; }; });
b1('zip-crc-wrong', b => { b.edit = e => { e[2].local = { crc: 1 }; e[2].central = { crc: 1 }; }; });
b1('zip-crc-differs-in-central', b => { b.edit = e => { e[2].central = { crc: 1 }; }; });
b1('zip-flags-differ', b => { b.edit = e => { e[2].central = { flags: 8 }; }; });
b1('zip-names-differ', b => { b.edit = e => { e[2].central = { name: Buffer.from('p-v1/n.js') }; }; });
b1('zip-size-too-large', b => { b.edit = e => { e[3].local = { size: 0x7fffffff }; e[3].central = { size: 0x7fffffff }; }; });
b1('zip-zip64-entry', b => { b.edit = e => { e[3].local = { original: 0xffffffff }; e[3].central = { original: 0xffffffff }; }; });
b1('zip-start-behind-the-end', b => { b.edit = e => { e[2].central = { start: 0x7fffffff }; }; });

b1('file-extra', b => { b.files.x = 'y'; });
b1('file-missing', b => { delete b.files['q-v1/q.js']; });
b1('file-only-the-map', b => { b.files = {}; });
b1('file-map-missing', b => { b.edit = e => e.shift(); });
b1('file-other-content', b => { b.files['p-v1/m.js'] = record([], { exports: ['x'] }); });

b1('map-not-json', b => { b.text = m => `${JSON.stringify(m)}x`; });
b1('map-extra-property', b => { b.map.extra = 1; });
b1('map-tags-not-strings', b => { b.map.tags = [1]; });
b1('map-entry-without-module', b => { delete b.map.entry.module; });
b1('map-entry-extra-property', b => { b.map.entry.extra = 1; });
b1('map-entry-compartment-missing', b => { b.map.entry.compartment = 'r-v1'; });
b1('map-entry-module-missing', b => { b.map.entry.module = './n.js'; });
b1('map-compartments-empty', b => { b.map.compartments = {}; });
b1('map-compartment-without-label', b => { delete main(b).label; });
b1('map-compartment-extra-property', b => { main(b).scopes = {}; });
b1('map-compartment-modules-array', b => { main(b).modules = []; });
b1('map-location-of-no-compartment', b => { main(b).location = 'r-v1'; });
b1('map-module-not-object', b => { main(b).modules['./unused.js'] = 1; });
b1('map-module-retained-not-boolean', b => { main(b).modules.q.retained = 1; });
b1('map-module-parser-missing', b => { delete main(b).modules['./m.js'].parser; });
b1('map-module-parser-unknown', b => { main(b).modules['./m.js'].parser = 'mjs'; });
b1('map-module-sha512-upper-case', b => { const m = main(b).modules['./m.js']; m.sha512 = m.sha512.toUpperCase(); });
b1('map-alias-to-missing-compartment', b => { main(b).modules.q.compartment = 'r-v1'; });
b1('map-alias-to-itself', b => { main(b).modules.q = { compartment: P, module: 'q' }; });
b1('map-policy-extra-property', b => { main(b).policy = { extra: 1 }; });
b1('map-policy-packages-not-boolean', b => { main(b).policy = { packages: { q: 1 } }; });
b1('map-policy-attenuator', b => { main(b).policy = { globals: ['x'] }; });
b1('map-name-is-dots', b => { main(b).name = '..'; });
b1('map-specifier-leaves-package', b => { b.map.entry.module = './../index.js'; main(b).modules['./../index.js'] = main(b).modules['./index.js']; });

const module = (name, text) => b1(name, b => { delete main(b).modules['./m.js'].sha512; b.files['p-v1/m.js'] = text; });
module('module-not-json', '({})');
module('module-null', 'null');
module('module-without-imports', '{}');
module('module-imports-not-strings', '{"imports":[1]}');
module('module-import-unknown', record(['./n.js']));
module('module-import-absolute', record(['/m.js']));
module('module-import-leaves-package', record(['../../m.js']));
module('module-program-not-a-string', record([], { __syncModuleProgram__: { toString: 1 } }));

// What the bundler itself makes of a package of two modules.
const { default: bundleSource } = await load('@endo/bundle-source/src/index.js');
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'bundle-'));
fs.writeFileSync(path.join(dir, 'package.json'), '{"name":"fixture","version":"1.0.0","type":"module"}');
fs.writeFileSync(path.join(dir, 'index.js'), "import { two } from './two.js';\nexport const one = two - 1;\n");
fs.writeFileSync(path.join(dir, 'two.js'), 'export const two = 2;\n');
const bundle = await bundleSource(path.join(dir, 'index.js'), { format: 'endoZipBase64' });
fs.rmSync(dir, { recursive: true });
add('b1-good-by-the-bundler.zip', `b1-${bundle.endoZipBase64Sha512}`, Buffer.from(bundle.endoZipBase64, 'base64'));

const b0 = (name, text, of = text) => add(`b0-${name}.json`, `b0-${sha('sha256', of)}`, text);
const plain = '{"moduleFormat":"nestedEvaluate","source":"x","sourceMap":""}';
b0('good', plain);
b0('good-spaces', plain.replaceAll(',', ' ,\n'), plain);
b0('good-other-order-with-extra-property', '{"extra":1,"sourceMap":"","source":"x","moduleFormat":"nestedEvaluate"}', plain);
b0('good-moduleFormat-missing', '{"source":"x"}');
b0('good-number-instead-of-object', '5', '{}');
b0('good-surrogates', '{"source":"\\ud83d\\ude00 \\ude00\\ud83d"}', '{"source":"\u{1f600} \\ude00\\ud83d"}');
b0('good-broken-utf8', Buffer.from('{"source":"\xe2\x82"}', 'latin1'), '{"source":"\ufffd"}');
b0('good-integer-keys-first', '{"source":{"b":1,"10":2,"9":3,"a":4,"01":5}}', '{"source":{"9":3,"10":2,"b":1,"a":4,"01":5}}');
b0('good-numbers', '{"source":[-0,1E3,1e21,1e999,0.0000001]}', '{"source":[0,1000,1e+21,null,1e-7]}');
b0('hash-of-other-text', plain, 'x');
b0('hash-of-text-as-it-is-in-other-order', '{"source":"x","moduleFormat":"nestedEvaluate"}');
b0('hash-of-text-with-extra-property', '{"source":"x","extra":1}');
b0('null', 'null', '{}');
b0('not-json', '{"source":"x",}', '{"source":"x"}');
b0('byte-order-mark', `\ufeff${plain}`, plain);
b0('cut', plain.slice(0, -1), plain);
b0('nested-too-deep', `{"source":${'['.repeat(6000)}${']'.repeat(6000)}}`);

const db = new Database(':memory:');
const store = makeBundleStore(db, () => {});
for (const name of fs.readdirSync(here)) if (/^b[01]-/.test(name)) fs.unlinkSync(path.join(here, name));
const verdicts = [];
for (const { file, id, data } of vectors) {
  fs.writeFileSync(path.join(here, file), data);
  db.exec('delete from bundles');
  store.importBundleRecord(`bundle.${id}`, id);
  const hang = new Promise(resolve => setTimeout(resolve, 500, 'never returns').unref());
  const done = store.importBundle(`bundle.${id}`, async () => data).then(() => '', e => e.message);
  const keepAlive = setInterval(() => {}, 100);
  const reference = await Promise.race([done, hang]);
  clearInterval(keepAlive);
  verdicts.push({ file, id, accept: reference === '', reference: reference.slice(0, 120) });
  if (/-good/.test(file) !== (reference === '')) console.error('unexpected', file, reference);
}
fs.writeFileSync(path.join(here, 'verdicts.json'), `${JSON.stringify(verdicts, null, 1)}\n`);
console.log(vectors.length, 'vectors');
