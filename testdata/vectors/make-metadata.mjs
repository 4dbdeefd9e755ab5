// Writes metadata.json: what the reference's own import makes of metadata
// records and artifact names. Needs the reference's packages:
//
//   LOCKDOWN_ERROR_TAMING=unsafe node make-metadata.mjs path/to/node_modules
//
// (unsafe is what makes its errors show the values in them.) Each case is a key
// and a value, and either the row that import inserts or the text of its error.
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const modules = resolve(process.argv[2]);
const load = path => import(join(modules, path));
await load('@agoric/cosmic-swingset/src/helpers/maybe-unsafe-lockdown.js');
const Database = createRequire(join(modules, 'x.js'))('better-sqlite3');
const { makeTranscriptStore } = await load('@agoric/swing-store/src/transcriptStore.js');
const { makeSnapStore } = await load('@agoric/swing-store/src/snapStore.js');
const { makeBundleStore } = await load('@agoric/swing-store/src/bundleStore.js');
const noop = () => {};

const cases = [];
const add = (key, value) => {
  const db = new Database(':memory:');
  const transcripts = makeTranscriptStore(db, noop);
  const snapshots = makeSnapStore(db, noop, {});
  const bundles = makeBundleStore(db, noop);
  const c = { key, value };
  try {
    if (key.startsWith('transcript')) {
      transcripts.importTranscriptSpanRecord(key, value);
      c.row = db.prepare('SELECT * FROM transcriptSpans').get();
    } else if (key.startsWith('snapshot')) {
      snapshots.importSnapshotRecord(key, value);
      c.row = db.prepare('SELECT vatID, snapPos, hash, inUse FROM snapshots').get() ?? null;
      try {
        snapshots.repairSnapshotRecord(key, value);
      } catch (err) {
        c.repair = err.message;
      }
    } else {
      bundles.importBundleRecord(key, value);
      c.row = db.prepare('SELECT bundleID FROM bundles').get();
    }
  } catch (err) {
    c.error = `${err.name === 'SyntaxError' || err.name === 'TypeError' || err.name === 'SqliteError' ? `${err.name}: ` : ''}${err.message}`;
  }
  db.close();
  cases.push(c);
};

const h = 'ab'.repeat(32);
const span = { vatID: 'v1', startPos: 3, endPos: 5, hash: h, isCurrent: 0, incarnation: 0 };
const snap = { vatID: 'v1', snapPos: 7, hash: h, inUse: 1 };
const each = (key, base, changes) => {
  for (const change of changes) add(key, JSON.stringify({ ...base, ...change }));
};

each('transcript.v1.3', span, [{}, { extra: [1, { a: '}' }] }, { vatID: 'v2' }, { vatID: '' }, { vatID: 0 }, { vatID: null }, { vatID: undefined }, { startPos: 4 }, { startPos: '3' }, { startPos: null },
  { startPos: undefined }, { startPos: 3.5 }, { endPos: null }, { endPos: undefined }, { endPos: 1e3 }, { hash: '' }, { hash: null }, { hash: undefined }, { hash: 0 }, { isCurrent: 1 }, { isCurrent: null },
  { isCurrent: undefined }, { isCurrent: false }, { isCurrent: true }, { isCurrent: '' }, { isCurrent: '0' }, { isCurrent: [] }, { incarnation: null }, { incarnation: undefined }, { incarnation: 7 }, { hash: 'é\n"' }]);
const cur = { ...span, isCurrent: 1 };
each('transcript.v1.current', cur, [{}, { isCurrent: true }, { isCurrent: 'yes' }, { isCurrent: {} }, { isCurrent: 0 }, { isCurrent: -1 }, { isCurrent: null }, { isCurrent: undefined }, { startPos: undefined }, { vatID: 'v2' }, { startPos: 900 }]);
for (const key of ['transcript.v1.03', 'transcript.v1.0x3', 'transcript.v1. 3', 'transcript.v1.3.x', 'transcript.v1.x', 'transcript.v1.', 'transcript.v1', 'transcript..3', 'transcript']) add(key, JSON.stringify(span));
for (const key of ['transcript.v1.3.current', 'transcript.v1.4.current', 'transcript.current', 'transcript.v1.currentx']) add(key, JSON.stringify(cur));
each('transcript.a"b.3', { ...span, vatID: 'a"b' }, [{}]);
for (const value of ['{}', '[]', '5', '"x"', 'true', '', '{', '{"vatID":"v1"', 'nope']) add('transcript.v1.3', value);
add('transcript.v1.3', ` { "incarnation" : 0 , "isCurrent":0,"hash":"${h}" ,"endPos":5.0,"startPos":3e0,"vatID":"\\u0076\\u0031" } `);
add('transcript.v1.3', `{"vatID":"v2","vatID":"v1","startPos":9,"startPos":3,"endPos":5,"hash":"${h}","isCurrent":1,"isCurrent":0,"incarnation":0}`);

each('snapshot.v1.7', snap, [{}, { extra: 1 }, { vatID: 'v2' }, { vatID: '' }, { vatID: undefined }, { snapPos: 8 }, { snapPos: undefined }, { hash: '' }, { hash: undefined }, { inUse: 0 }, { inUse: null }, { inUse: undefined }, { inUse: true }, { inUse: 'x' }]);
for (const key of ['snapshot.v2.7', 'snapshot.v1.07', 'snapshot.v1.8', 'snapshot.v1.7.x', 'snapshot.v1.x']) add(key, JSON.stringify(snap));
add('snapshot.v1.current', 'snapshot.v1.7');
add('snapshot.v1.current.x', 'anything');
add('snapshot.v1.7', '{}');
add('snapshot.v1.7', '7');
add('snapshot.v1.7', 'x');

add('bundle.b1-00', 'b1-00');
add('bundle.b1-00', 'b1-01');
add('bundle.', '');
add('bundle.b1.00', 'b1.00');
add('bundle', 'x');

const out = cases.map(c => JSON.stringify(c)).join(',\n');
writeFileSync(join(dirname(fileURLToPath(import.meta.url)), 'metadata.json'), `[\n${out}\n]\n`);
