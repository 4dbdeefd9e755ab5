#!/usr/bin/env node
// Makes a synthetic swing-store, the same bytes for the same options (and the same zlib in node).
// The content is written through the reference's own API (@agoric/swing-store), except what that API refuses (tinyraw).
//
//   node gen.mjs --preset=NAME --out=STATE_DIR [--seed=N] [--journal-mode=delete]
//   node gen.mjs --out=STATE_DIR --vats=N --spans=N --items=N --kv=N [...]
//
// Presets with every edge case that the reference's API lets through:
//   tiny      all of them; tiny1a: the older snapshots table with one more CHECK; tinywal: the last commit is only in the -wal;
//   tinyraw   and lone surrogates, broken UTF-8, NULL and a number in kvStore
// Presets that look like a chain, vats interleaved item by item:
//   pruned    transcripts not kept: only operational and debug exports are possible
//   small     8 MB; s50m, s200m, s1g, s4g: about as large as they say
// Options that change a preset of the second kind (or make one of your own; defaults at the end of this file):
//   --vats --spans (per vat) --items (per span) --kv (rows) --mu --sigma --huge (item sizes: log-normal, share of huge ones)
//   --incarnations --snap-min --snap-max (bytes of a heap) --bundles --bundle-kb --keep-transcripts=0|1 --keep-snapshots=0|1
// A new store is in WAL mode, cleanly closed; --journal-mode=delete puts it into rollback-journal mode, so that reading it
// leaves no files beside it.
import '@agoric/cosmic-swingset/src/helpers/maybe-unsafe-lockdown.js';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { createHash } from 'node:crypto';
import bundleSource from '@endo/bundle-source';
import { initSwingStore, openSwingStore } from '@agoric/swing-store';
import sqlite3 from 'better-sqlite3';

const args = Object.fromEntries(
  process.argv.slice(2).map(a => {
    const m = /^--([^=]+)(?:=(.*))?$/s.exec(a);
    if (!m) throw Error(`bad arg ${a}`);
    return [m[1], m[2] ?? '1'];
  }),
);

// ---------------------------------------------------------------- PRNG
const makeRng = seed => {
  // xoshiro128** seeded from sha256(seed)
  const h = createHash('sha256').update(String(seed)).digest();
  let a = h.readUInt32LE(0), b = h.readUInt32LE(4), c = h.readUInt32LE(8), d = h.readUInt32LE(12) | 1;
  const u32 = () => {
    const t = b << 9;
    let r = Math.imul(b, 5);
    r = Math.imul((r << 7) | (r >>> 25), 9);
    c ^= a; d ^= b; b ^= c; a ^= d; c ^= t;
    d = (d << 11) | (d >>> 21);
    return r >>> 0;
  };
  const f = () => u32() / 4294967296;
  const int = n => Math.floor(f() * n);
  const pick = arr => arr[int(arr.length)];
  let spare;
  const gauss = () => {
    if (spare !== undefined) { const s = spare; spare = undefined; return s; }
    const u = 1 - f(); const v = f();
    const m = Math.sqrt(-2 * Math.log(u));
    spare = m * Math.sin(2 * Math.PI * v);
    return m * Math.cos(2 * Math.PI * v);
  };
  const hex = n => { let s = ''; while (s.length < n) s += u32().toString(16).padStart(8, '0'); return s.slice(0, n); };
  return { u32, f, int, pick, gauss, hex };
};

const WORDS = `brand issuer mint purse payment amount value offer wallet invitation result proposal give want
vault manager collateral debt liquidation price authority quote oracle round feed ratio numerator denominator
timer wake schedule repeat governor params electorate question position vote counter committee instance
installation contract facet admin seat zoe zcf exit deadline timestamp agoric board mailbox bridge storage
published children chain marshal publish subscriber notifier update kit kread state transfer ibc channel port
packet ack denom uist ubld inter protocol reserve anchor psm auction bidder lot start duration frequency`
  .split(/\s+/);
const METHODS = ['deposit', 'withdraw', 'getAmountOf', 'executeOffer', 'getUpdateSince', 'getCurrentAmount', 'setValue',
  'makeChildNode', 'onPacketReceived', 'wake', 'pushPrice', 'makeQuote', 'exitAllSeats', 'reallocate', 'getAllegedName'];

const body = (r, n) => {
  // smallcaps-like body of about n chars
  let s = '';
  let size = n;
  while (s.length < size) {
    const k = r.pick(WORDS);
    const t = r.int(6);
    if (t === 0) s += `,"${k}":"+${r.u32()}${r.int(1e6)}"`;
    else if (t === 1) s += `,"${k}":"$${r.int(4)}.Alleged: ${r.pick(WORDS)} ${r.pick(WORDS)}"`;
    else if (t === 2) s += `,"${k}":{"denominator":{"brand":"$0","value":"+${r.int(1e6)}"},"numerator":{"brand":"$1","value":"+${r.u32()}"}}`;
    else if (t === 3) s += `,"${k}":"${r.hex(8 + r.int(56))}"`;
    else if (t === 4) s += `,"${k}":[${r.int(100)},${r.int(1e5)},true,null,"#undefined"]`;
    else s += `,"${k}":"${r.pick(WORDS)} ${r.pick(WORDS)} ${r.pick(WORDS)}"`;
  }
  return `#{${s.slice(1)}}`;
};
const capdata = (r, n, ns) => ({ body: body(r, n), slots: Array.from({ length: ns }, () => `${r.pick(['o+', 'o-', 'p+', 'o+d1', 'p-'])}${r.int(1e5)}`) });

// A realistic transcript entry of about `size` chars
const transcriptItem = (r, size) => {
  const t = r.f();
  let d; let left;
  if (t < 0.62) {
    const b = Math.min(size * 0.35, 200 + r.int(800)) + (size > 20000 ? size * 0.5 : 0);
    d = ['message', `o+${r.int(5000)}`, { methargs: capdata(r, Math.max(20, b | 0), r.int(4)), result: `p-${r.int(1e5)}` }];
    left = size - b - 150;
  } else if (t < 0.9) {
    d = ['notify', [[`p-${r.int(1e5)}`, { rejected: r.f() < 0.03, data: capdata(r, Math.max(20, (size * 0.3) | 0), r.int(3)), state: 'fulfilled' }]]];
    left = size * 0.7 - 150;
  } else if (t < 0.96) {
    d = ['dropExports', Array.from({ length: 1 + r.int(8) }, () => `o+d${r.int(30)}/${r.int(1e5)}`)];
    left = size - 150;
  } else { d = ['bringOutYourDead']; left = size - 80; }
  const sc = [];
  while (left > 0) {
    const u = r.f();
    let e;
    if (u < 0.45) e = { s: ['vatstoreGet', `vom.${r.pick(['o+d', 'rc.o+d', 'es.o+d'])}${r.int(30)}/${r.int(1e5)}`], r: ['ok', r.f() < 0.2 ? null : JSON.stringify({ state: capdata(r, 40 + r.int(160), r.int(3)) })] };
    else if (u < 0.75) e = { s: ['vatstoreSet', `vc.${r.int(40)}.r000000${r.int(1e4)}:o-${r.int(1e4)}`, JSON.stringify(capdata(r, 40 + r.int(160), r.int(2)))], r: ['ok', null] };
    else if (u < 0.88) e = { s: ['send', `o-${r.int(5000)}`, { methargs: capdata(r, 40 + r.int(200), r.int(3)), result: `p+${r.int(1e5)}` }], r: ['ok', null] };
    else if (u < 0.95) e = { s: ['resolve', [[`p-${r.int(1e5)}`, false, capdata(r, 30 + r.int(150), 1)]]], r: ['ok', null] };
    else e = { s: ['subscribe', `p+${r.int(1e5)}`], r: ['ok', null] };
    sc.push(e);
    left -= 160 + r.int(160);
  }
  if (t < 0.62) d[2].methargs.body = d[2].methargs.body.replace('#{', `#["${r.pick(METHODS)}",[{`) + ']]'; // not valid JSON necessarily; opaque to swing-store
  return JSON.stringify({ d, sc, r: { status: 'ok' } });
};

// XS-heap-like compressible bytes
const makeHeapPool = r => {
  const pool = [];
  for (let i = 0; i < 48; i += 1) {
    const b = Buffer.alloc(65536);
    let o = 0;
    while (o < 65536 - 64) {
      if (r.f() < 0.7) { // slot: next, id, flag, kind, payload
        for (let k = 0; k < 2 && o < 65536 - 64; k += 1) {
          b.writeUInt32LE((i * 2048 + o / 32 + (r.f() < 0.6 ? 1 : r.int(300))) * 32, o);
          b.writeUInt16LE(r.f() < 0.6 ? 0 : r.int(4000), o + 8);
          b[o + 10] = r.int(16); b[o + 11] = r.int(40);
          if (r.f() < 0.35) b.writeUInt32LE(r.f() < 0.3 ? r.u32() : r.int(1 << 18) * 32, o + 16);
          o += 32;
        }
      } else {
        const s = `${r.pick(WORDS)}_${r.pick(METHODS)}:${r.hex(12)}`;
        o += b.write(s, o, 48, 'latin1') + 1;
      }
    }
    pool.push(b);
  }
  return pool;
};
async function* heapSnapshot(r, pool, size) {
  yield Buffer.from('\0\0\0\x40XS_M\0\0\0\x10VERS\x0b\0\0\0\0\0\0\x20SIGNxsnap-worker-synthetic');
  let left = size;
  while (left > 0) {
    const b = Buffer.from(r.pick(pool));
    for (let i = 0; i < 300; i += 1) b.writeUInt32LE(r.u32(), r.int(16383) * 4);
    yield left < b.length ? b.subarray(0, left) : b;
    left -= b.length;
  }
}
async function* bytes(...chunks) { for (const c of chunks) yield Buffer.from(c); }

// ---------------------------------------------------------------- bundles
const b0Bundle = source => {
  const bundle = harden({ moduleFormat: 'nestedEvaluate', source, sourceMap: `//# sourceMappingURL=${source.length}.js.map` });
  const id = `b0-${createHash('sha256').update(JSON.stringify(bundle)).digest('hex')}`;
  return [id, bundle];
};
const b1Bundle = async (r, kb, name) => {
  const dir = path.join(os.tmpdir(), `gen-${process.pid}-${name}`);
  fs.mkdirSync(dir, { recursive: true });
  try {
    fs.writeFileSync(path.join(dir, 'package.json'), JSON.stringify({ name: `fixture-${name}`, version: '1.0.0', type: 'module' }));
    const nmods = 1 + Math.floor(kb / 20);
    let imports = '';
    for (let m = 0; m < nmods; m += 1) {
      let src = `// module ${m} of ${name}\n`;
      let i = 0;
      while (src.length < Math.min(kb, 20) * 1024) {
        src += `export const ${r.pick(WORDS)}_${m}_${i} = (${r.pick(WORDS)}, ${r.pick(WORDS)}2) => { // ${r.hex(24)}\n  return ${r.int(1e9)} + '${r.pick(METHODS)}'.length; };\n`;
        i += 1;
      }
      fs.writeFileSync(path.join(dir, `m${m}.js`), src);
      imports += `import * as ns${m} from './m${m}.js';\n`;
    }
    fs.writeFileSync(path.join(dir, 'index.js'), `${imports}export const start = () => [${Array.from({ length: nmods }, (_, m) => `ns${m}`)}];\n`);
    const bundle = await bundleSource(path.join(dir, 'index.js'), { format: 'endoZipBase64' });
    return [`b1-${bundle.endoZipBase64Sha512}`, harden(bundle)];
  } finally {
    fs.rmSync(dir, { recursive: true, force: true });
  }
};

// ---------------------------------------------------------------- kv
const kvEntry = (r, i, vats) => {
  const t = i % 10;
  const v = `v${1 + r.int(vats)}`;
  if (t < 4) return [`${v}.vs.vom.o+d${r.int(40)}/${i}`, JSON.stringify({ state: capdata(r, 30 + r.int(130), r.int(2)) })];
  if (t < 6) return [`${v}.vs.vc.${r.int(60)}.r${String(i).padStart(10, '0')}:o-${r.int(1e6)}`, JSON.stringify(capdata(r, 20 + r.int(90), r.int(2)))];
  if (t === 6) return [`${v}.c.o+d${r.int(40)}/${i}`, `R ko${i}`];
  if (t === 7) return [`ko${i}.refCount`, `${r.int(4)},${r.int(4)}`];
  if (t === 8) return [`ko${i}.owner`, v];
  return [`${v}.vs.vom.rc.o+d${r.int(40)}/${i}`, `${r.int(9)}`];
};

// ---------------------------------------------------------------- generic store
const genericStore = async (out, p) => {
  const r = makeRng(p.seed);
  const pool = makeHeapPool(makeRng(`${p.seed}-pool`));
  const { kernelStorage: ks, hostStorage: hs } = initSwingStore(out, { keepTranscripts: p.keepTranscripts, keepSnapshots: p.keepSnapshots });
  const { kvStore, transcriptStore: ts, snapStore, bundleStore } = ks;
  let pending = 0;
  const maybeCommit = async n => { pending += n; if (pending > 32e6) { pending = 0; await hs.commit(); } };

  for (let i = 0; i < p.bundles; i += 1) {
    const [id, b] = i % 4 === 0 ? b0Bundle(`(function(){ /* ${body(r, p.bundleKb * 512)} */ })`) : await b1Bundle(r, p.bundleKb * (0.3 + r.f() * 1.4), `b${i}`);
    bundleStore.addBundle(id, b);
  }
  hs.kvStore.set('host.height', String(10_000_000 + Number(p.seed)));
  hs.kvStore.set('host.chainSends', '[]');
  kvStore.set('local.snapStats', JSON.stringify({ note: 'local' }));
  kvStore.set('initialized', 'true');
  kvStore.set('vat.nextID', String(p.vats + 1));

  // kv is spread over the whole run, in per-"block" portions, like a live chain
  const totalItems = p.vats * p.spans * p.items;
  let kvDone = 0, itemsDone = 0, bytesT = 0, bytesKV = 0, bytesS = 0;
  const kvUpTo = async n => {
    while (kvDone < n) {
      const [k, v] = kvEntry(r, kvDone, p.vats);
      kvStore.set(k, v);
      bytesKV += 2 * k.length + v.length + 12;
      await maybeCommit(2 * k.length + v.length);
      kvDone += 1;
    }
  };
  const vats = Array.from({ length: p.vats }, (_, i) => ({ id: `v${i + 1}`, pos: 0, span: 0, inSpan: 0, inc: 0 }));
  const add = (vat, item) => { ts.addItem(vat.id, item); vat.pos += 1; vat.inSpan += 1; bytesT += item.length + 40; };
  for (const v of vats) { ts.initTranscript(v.id); add(v, JSON.stringify({ d: ['initialize-worker', { source: { bundleID: 'b1-x' }, workerOptions: { type: 'xsnap' } }], sc: [], r: { status: 'ok' } })); }
  const live = [...vats];
  while (live.length) {
    const li = r.int(live.length);
    const v = live[li];
    const burst = 1 + r.int(24);
    for (let b = 0; b < burst; b += 1) {
      let size = Math.exp(p.mu + p.sigma * r.gauss());
      if (r.f() < p.huge) size = 100_000 + r.int(300_000);
      size = Math.min(Math.max(size, 120), 400_000);
      let item = transcriptItem(r, size);
      if (itemsDone % 97 === 0) item = item.replace('"status":"ok"', `"status":"ok","note":"héllo — \u2028 ${String.fromCodePoint(0x1f600 + r.int(60))} 日本"`);
      add(v, item);
      itemsDone += 1;
      await maybeCommit(item.length);
      if (v.inSpan >= p.items) {
        v.span += 1;
        const last = v.span >= p.spans;
        const upgrade = !last && p.incarnations > 1 && v.span % Math.ceil(p.spans / p.incarnations) === 0;
        if (upgrade) {
          add(v, JSON.stringify({ d: ['shutdown-worker'], sc: [], r: { status: 'ok' } }));
          snapStore.stopUsingLastSnapshot(v.id);
          await ts.rolloverIncarnation(v.id); v.inc += 1; v.inSpan = 0;
          add(v, JSON.stringify({ d: ['initialize-worker', { inc: v.inc }], sc: [], r: { status: 'ok' } }));
        } else if (!last) {
          const nextIsLast = v.span === p.spans - 1;
          const size2 = nextIsLast || p.keepSnapshots ? p.snapMin + r.int(p.snapMax - p.snapMin) : 2048;
          const res = await snapStore.saveSnapshot(v.id, v.pos, heapSnapshot(r, pool, size2));
          if (nextIsLast) bytesS += res.compressedSize;
          await maybeCommit(res.compressedSize);
          add(v, JSON.stringify({ d: ['save-snapshot'], sc: [], r: { status: 'ok', snapshotID: res.hash } }));
          await ts.rolloverSpan(v.id); v.inSpan = 0;
          add(v, JSON.stringify({ d: ['load-snapshot', { snapshotID: res.hash }], sc: [], r: { status: 'ok' } }));
        } else {
          live.splice(li, 1);
        }
        if (last) break;
      }
    }
    await kvUpTo(Math.floor((p.kv * itemsDone) / totalItems));
  }
  await kvUpTo(p.kv);
  await hs.commit();
  await hs.close();
  console.log(JSON.stringify({ items: itemsDone, kv: kvDone, MB: { transcripts: bytesT / 1e6, kv: bytesKV / 1e6, snapshots: bytesS / 1e6 } }));
};

// ---------------------------------------------------------------- tiny: all edge cases
const EDGE = [
  '', ' ', 'plain', 'quote " and \\ backslash / slash', "single ' quote", 'newline\nin\r\nvalue\ttab', '\b\f\v\u0000NUL\u0001\u001f', '\u007f\u0080\u009f',
  'U+2028 \u2028 U+2029 \u2029', '\ufeffBOM first', 'é à ü ñ', '日本語', '😀 👩‍👩‍👧 \u{10ffff}', '\ufffd\uffff\ufffe\ue000', '</script>&<>', '{"json":["in",{"string":null}]}',
  '"', '\\', '\\u0041', '\\n', 'trailing space ', ' leading', 'e\u0301 combining', '12', 'null', 'undefined', '[]', 'x'.repeat(5000),
];
const addEdgeKV = (kvStore, r) => {
  EDGE.forEach((v, i) => kvStore.set(`edge.val.${String(i).padStart(2, '0')}`, v));
  EDGE.forEach((k, i) => { if (!k.startsWith('x')) kvStore.set(`edge.key.${k}`, `key ${i}`); });
  // keys whose order differs between UTF-8 bytes, UTF-16 code units, and locale collation
  for (const k of ['Z', 'a', 'B', 'b', 'é', 'z', '\uffff', '\ue000', '\u{10000}', '😀', '~', '_', '-', '.', '0', '00', '10', '9']) kvStore.set(k, `order ${k}`);
  for (const k of ['', 'host', 'hosts.x', 'hostile', 'local', 'locally.x', 'Local.x', 'HOST.x', ' host.x', 'kv.kv.x', 'kv', 'snapshot.v1.current', 'transcript.v1.0', 'bundle.x', '__proto__', 'constructor', 'toString', 'a.b..c.', '.', '..'])
    kvStore.set(k, `special ${k}`);
  kvStore.set('k'.repeat(2000), 'long key');
  kvStore.set('long.value', `${r.hex(3000)}${'é'.repeat(3000)}`);
  for (const k of ['local.', 'local.a', 'local.kernelStats', 'local.日本']) kvStore.set(k, `local value ${k}`);
  for (let i = 0; i < 150; i += 1) { const [k, v] = kvEntry(r, i, 12); kvStore.set(k, v); }
  kvStore.set('deleted', 'x'); kvStore.delete('deleted');
};

const tinyStore = async (out, seed, { wal = false, schema1A = false, raw = false } = {}) => {
  const r = makeRng(`tiny-${seed}`);
  fs.rmSync(out, { recursive: true, force: true });
  fs.mkdirSync(out, { recursive: true });
  if (schema1A) {
    // the original snapshots schema ("version 1A") has an extra CHECK, see snapStore.js
    const db = sqlite3(path.join(out, 'swingstore.sqlite'));
    db.exec(`
    CREATE TABLE IF NOT EXISTS snapshots (
      vatID TEXT,
      snapPos INTEGER,
      inUse INTEGER CHECK(inUse = 1),
      hash TEXT,
      uncompressedSize INTEGER,
      compressedSize INTEGER,
      compressedSnapshot BLOB,
      PRIMARY KEY (vatID, snapPos),
      UNIQUE (vatID, inUse),
      CHECK(compressedSnapshot is not null or inUse is null)
    )
  `);
    db.close();
  }
  const item = (size = 300) => transcriptItem(r, Math.min(Math.exp(5.7 + 0.5 * r.gauss()), 900) && size);
  const small = Buffer.alloc(0);
  const phase = async (keepSnapshots, fn) => {
    const ss = openSwingStore(out, { keepTranscripts: true, keepSnapshots });
    await fn(ss.kernelStorage, ss.hostStorage);
    await ss.hostStorage.commit();
    await ss.hostStorage.close();
  };
  const snap = (n, tag) => bytes(`snapshot ${tag} `, Buffer.from(r.hex(64)), Buffer.alloc(n, `heap-${tag};`), new Uint8Array([0, 255, 10, 13, 0]));
  const span = async (ks, v, n, { roll = true, save = true, snapSize = 1500, tag = '' } = {}) => {
    for (let i = 0; i < n; i += 1) ks.transcriptStore.addItem(v, item(150 + r.int(250)));
    const { endPos } = ks.transcriptStore.getCurrentSpanBounds(v);
    if (save) { await ks.snapStore.saveSnapshot(v, endPos, snap(snapSize, `${v}-${endPos}${tag}`)); ks.transcriptStore.addItem(v, 'save-snapshot'); }
    if (roll) { await ks.transcriptStore.rolloverSpan(v); }
  };
  // phase 1: keepSnapshots=true, so that historical snapshots are populated
  await phase(true, async (ks, hs) => {
    hs.kvStore.set('host.height', '1234567');
    hs.kvStore.set('host.h1', 'hostvalue1');
    hs.kvStore.set('host.', 'empty host');
    hs.kvStore.set('host.ünï', 'u\u2028"\\');
    addEdgeKV(ks.kvStore, r);
    for (const s of ['1+1', 'unicode é 😀 \u2028 " \\ \n', `/* ${body(r, 1200)} */ 42`]) ks.bundleStore.addBundle(...b0Bundle(s));
    { // b0 without sourceMap
      const bundle = harden({ moduleFormat: 'nestedEvaluate', source: 'no map' });
      ks.bundleStore.addBundle(`b0-${createHash('sha256').update(JSON.stringify(bundle)).digest('hex')}`, bundle);
    }
    ks.bundleStore.addBundle(...(await b1Bundle(r, 6, 'tiny1')));
    ks.bundleStore.addBundle(...(await b1Bundle(r, 2, 'tiny2')));
    ks.bundleStore.addBundle(...b0Bundle('to be deleted'));
    ks.bundleStore.deleteBundle(b0Bundle('to be deleted')[0]);
    const ts = ks.transcriptStore;
    // v1: three incarnations, several spans each
    ts.initTranscript('v1');
    await span(ks, 'v1', 5); await span(ks, 'v1', 7); await span(ks, 'v1', 2, { roll: false, save: false });
    ks.snapStore.stopUsingLastSnapshot('v1'); await ts.rolloverIncarnation('v1');
    await span(ks, 'v1', 4, { roll: false, save: false }); ks.snapStore.stopUsingLastSnapshot('v1'); await ts.rolloverIncarnation('v1');
    await span(ks, 'v1', 3);
    // terminated, deletion started
    for (const v of ['v4', 'v5', 'v7']) { ts.initTranscript(v); await span(ks, v, 3); await span(ks, v, 4); await span(ks, v, 2); ts.addItem(v, item()); }
  });
  // phase 2: keepSnapshots=false: historical snapshots are pruned
  await phase(false, async ks => {
    const ts = ks.transcriptStore;
    await span(ks, 'v1', 3); await span(ks, 'v1', 6); ts.addItem('v1', 'load-snapshot'); ts.addItem('v1', item());
    // v2: current span is empty (rolled over, no items yet), current snapshot in use
    ts.initTranscript('v2'); await span(ks, 'v2', 4); await span(ks, 'v2', 2);
    // v3: nothing but an empty span 0..0; v12: empty first incarnation, empty spans in the middle
    ts.initTranscript('v3');
    ts.initTranscript('v12'); ts.addItem('v12', 'only item of incarnation 0'); await ts.rolloverIncarnation('v12'); // current span empty, new incarnation
    // (rolling over an empty span is impossible: UNIQUE(vatID,startPos))
    // text ordering of vat IDs: v1 < v10 < v100 < v2 ; and non-'v' IDs
    for (const v of ['v10', 'v100', 'v9', 'vat-ünï', 'V1', 'v-1']) { ts.initTranscript(v); await span(ks, v, 1 + r.int(4)); ts.addItem(v, item()); }
    // v8: no snapshots at all, edge-case item texts (an item must not hold \n or end in white space)
    ts.initTranscript('v8');
    for (const e of EDGE) { if (!/[\n]/.test(e) && e === e.trimEnd()) ts.addItem('v8', e); }
    for (const e of EDGE) ts.addItem('v8', JSON.stringify({ d: ['message', e], sc: [{ s: ['vatstoreSet', e, e], r: ['ok', e] }], r: { status: 'ok' } }));
    await ts.rolloverSpan('v8');
    ts.addItem('v8', '\r leading CR and \r inner CR, \u2028 inner');
    ts.addItem('v8', transcriptItem(r, 34_000)); // longer than a stream chunk
    ts.addItem('v8', `${'é'.repeat(4000)}|`);
    await ts.rolloverSpan('v8');
    ts.addItem('v8', item());
    // v11: empty-content snapshot, and a snapshot larger than one stream chunk
    ts.initTranscript('v11'); ts.addItem('v11', item());
    await ks.snapStore.saveSnapshot('v11', 1, bytes(small)); ts.addItem('v11', 'save-snapshot'); await ts.rolloverSpan('v11'); ts.addItem('v11', item());
    ts.initTranscript('v13'); ts.addItem('v13', item());
    await ks.snapStore.saveSnapshot('v13', 1, bytes(Buffer.alloc(300_000, 'big snapshot '), r.hex(2000))); ts.addItem('v13', 'save-snapshot'); await ts.rolloverSpan('v13'); ts.addItem('v13', item());
    // v14: snapshot at position 0 (falsy), single item spans
    ts.initTranscript('v14'); await ks.snapStore.saveSnapshot('v14', 0, bytes('zero'));
    for (let i = 0; i < 4; i += 1) { ts.addItem('v14', `item${i}`); await ts.rolloverSpan('v14'); }
    // v15: unpopulated-between: big incarnation count
    ts.initTranscript('v15'); for (let i = 0; i < 12; i += 1) { ts.addItem('v15', `inc ${i}`); await ts.rolloverIncarnation('v15'); }
    // v4: terminated, not yet deleted
    await ts.stopUsingTranscript('v4'); ks.snapStore.stopUsingLastSnapshot('v4');
    // v5: terminated and partially deleted
    await ts.stopUsingTranscript('v5'); ks.snapStore.stopUsingLastSnapshot('v5');
    ts.deleteVatTranscripts('v5', 2); ks.snapStore.deleteVatSnapshots('v5', 1);
    // v6: fully deleted
    ts.initTranscript('v6'); await span(ks, 'v6', 3); ts.addItem('v6', item());
    await ts.stopUsingTranscript('v6'); ks.snapStore.stopUsingLastSnapshot('v6'); ts.deleteVatTranscripts('v6'); ks.snapStore.deleteVatSnapshots('v6');
    // v7: partially deleted without stopUsing* (removes the current span/snapshot first)
    ts.deleteVatTranscripts('v7', 1); ks.snapStore.deleteVatSnapshots('v7', 1);
    // v16: terminated transcript, snapshot still in use
    ts.initTranscript('v16'); await span(ks, 'v16', 2); ts.addItem('v16', item()); await ts.stopUsingTranscript('v16');
    // v17: snapshot only, no transcript
    await ks.snapStore.saveSnapshot('v17', 3, bytes('orphan snapshot'));
  });
  if (raw) {
    // lone surrogates: better-sqlite3 stores them as invalid UTF-8 (ED A0 80), and reads them back as three U+FFFD;
    // in a transcript item that breaks the reference's own import (hash mismatch), so only kv here
    const ss = openSwingStore(out, { keepTranscripts: true });
    ss.kernelStorage.kvStore.set('raw.val', 'lone \ud800 high, \udc00 low, \ud83d');
    ss.kernelStorage.kvStore.set('raw.key.\udfff.x', 'key with lone surrogate');
    await ss.hostStorage.commit();
    await ss.hostStorage.close();
    const db = sqlite3(path.join(out, 'swingstore.sqlite'));
    db.exec(`INSERT INTO kvStore VALUES ('raw.bytes', CAST(X'41FF42C0AFE28241F09F98' AS TEXT)), ('raw.null', NULL), ('raw.int', 42)`); // NULL and (affinity TEXT) number
    db.close();
  }
  if (wal) {
    // leave a store whose last commit lives only in swingstore.sqlite-wal (as after a kill -9)
    const ss = openSwingStore(out, { keepTranscripts: true });
    ss.kernelStorage.kvStore.set('only.in.wal', 'yes');
    ss.hostStorage.kvStore.set('host.height', '1234568');
    ss.kernelStorage.transcriptStore.addItem('v2', 'only in wal');
    await ss.hostStorage.commit();
    const copy = `${out}.copy`;
    fs.rmSync(copy, { recursive: true, force: true });
    fs.mkdirSync(copy);
    for (const f of ['swingstore.sqlite', 'swingstore.sqlite-wal']) fs.copyFileSync(path.join(out, f), path.join(copy, f));
    await ss.hostStorage.close();
    fs.rmSync(out, { recursive: true, force: true });
    fs.renameSync(copy, out);
  }
};

// ---------------------------------------------------------------- main
const seed = args.seed ?? '1';
const base = { seed, incarnations: 2, mu: 6.62, sigma: 0.9, huge: 0.0005, snapMin: 1e6, snapMax: 8e6, bundles: 12, bundleKb: 120, keepTranscripts: true, keepSnapshots: false };
const presets = {
  pruned: { ...base, keepTranscripts: false, vats: 4, spans: 5, items: 30, kv: 500, snapMin: 2000, snapMax: 60000, bundles: 3, bundleKb: 8 },
  small: { ...base, vats: 5, spans: 6, items: 100, kv: 5000, snapMin: 2e5, snapMax: 1e6, bundles: 4, bundleKb: 30 },
  s50m: { ...base, vats: 8, spans: 12, items: 200, kv: 60_000, bundles: 8, snapMax: 3e6 },
  s200m: { ...base, vats: 17, spans: 23, items: 200, kv: 290_000 },
  s1g: { ...base, vats: 85, spans: 23, items: 200, kv: 1_450_000, bundles: 40 },
  s4g: { ...base, vats: 340, spans: 23, items: 200, kv: 5_800_000, bundles: 100 },
};
const num = (k, d) => (args[k] === undefined ? d : Number(args[k]));
const { out, preset } = args;
if (!out) throw Error('--out=STATE_DIR needed');
const t0 = Date.now();
if (preset === 'tiny') await tinyStore(out, seed);
else if (preset === 'tiny1a') await tinyStore(out, seed, { schema1A: true });
else if (preset === 'tinyraw') await tinyStore(out, seed, { raw: true });
else if (preset === 'tinywal') await tinyStore(out, seed, { wal: true });
else {
  const p = { ...(presets[preset] ?? { ...base, vats: 3, spans: 3, items: 20, kv: 200 }) };
  if (preset && !presets[preset]) throw Error(`unknown preset ${preset}`);
  p.vats = num('vats', p.vats); p.spans = num('spans', p.spans); p.items = num('items', p.items); p.kv = num('kv', p.kv);
  p.mu = num('mu', p.mu); p.sigma = num('sigma', p.sigma); p.huge = num('huge', p.huge); p.incarnations = num('incarnations', p.incarnations);
  p.snapMin = num('snap-min', p.snapMin); p.snapMax = num('snap-max', p.snapMax); p.bundles = num('bundles', p.bundles); p.bundleKb = num('bundle-kb', p.bundleKb);
  if (args['keep-transcripts'] !== undefined) p.keepTranscripts = args['keep-transcripts'] !== '0';
  if (args['keep-snapshots'] !== undefined) p.keepSnapshots = args['keep-snapshots'] !== '0';
  await genericStore(out, p);
}
if (args['journal-mode']) {
  const db = sqlite3(path.join(out, 'swingstore.sqlite'));
  const got = db.pragma(`journal_mode=${args['journal-mode']}`, { simple: true });
  db.close();
  if (got !== args['journal-mode']) throw Error(`journal mode is ${got}`);
}
for (const f of fs.readdirSync(out)) console.log(f, fs.statSync(path.join(out, f)).size);
console.log(`${(Date.now() - t0) / 1000} s`);
