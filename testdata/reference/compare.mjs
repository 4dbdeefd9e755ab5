#!/usr/bin/env node
// Compares two exports of swing-stores, or two swing-store databases.
//   node compare.mjs EXPORT_A EXPORT_B           manifest, export data, artifacts: bytes; no other files
//   node compare.mjs --db STATE_A STATE_B        schema to the letter and rows of every table (folders or .sqlite files)
// Options:
//   --json           export: the manifests may differ in their white space
//   --max=N            differences shown per kind (default 10)
//   --ignore-mode      export: ignore manifest.artifactMode
//   --strict           db: compressed snapshot bytes must be equal too (default: gunzipped content + self-consistent compressedSize)
//   --roundtrip        db: A is the source, B was imported from an export of A: host.* (except host.height), local.* rows,
//                      and contents/sizes of historical snapshots may be missing in B
//   --mode=MODE        with --roundtrip: artifact mode of the trip (operational|replay|archival|debug, default archival)
//   --no-integrity     db: skip PRAGMA integrity_check
//   --no-schema        db: skip sqlite_master comparison
// Exit 0 if equal, 1 if different, 2 on a usage or I/O error.
import fs from 'node:fs';
import path from 'node:path';
import { createHash } from 'node:crypto';
import zlib from 'node:zlib';
import { isDeepStrictEqual } from 'node:util';
import sqlite3 from 'better-sqlite3';

const opts = {}; const pos = [];
for (const a of process.argv.slice(2)) {
  const m = /^--([^=]+)(?:=(.*))?$/.exec(a);
  if (m) opts[m[1]] = m[2] ?? true; else pos.push(a);
}
if (pos.length !== 2) { console.error('usage: compare.mjs [--db] A B'); process.exit(2); }
const [A, B] = pos;
const MAX = Number(opts.max ?? 10);
const counts = new Map();
let diffs = 0;
const diff = (kind, msg) => {
  diffs += 1;
  const n = (counts.get(kind) ?? 0) + 1;
  counts.set(kind, n);
  if (n <= MAX) console.log(`DIFF ${kind}: ${msg}`);
};
const short = x => {
  if (Buffer.isBuffer(x)) return `<${x.length} bytes sha256 ${createHash('sha256').update(x).digest('hex').slice(0, 16)}>`;
  const s = typeof x === 'string' ? JSON.stringify(x) : String(x);
  return s.length > 160 ? `${s.slice(0, 150)}…(${s.length})` : s;
};

const firstDifference = (fa, fb) => {
  const a = fs.openSync(fa, 'r'); const b = fs.openSync(fb, 'r');
  const N = 1 << 20; const ba = Buffer.alloc(N); const bb = Buffer.alloc(N);
  let off = 0; let line = 1;
  try {
    for (;;) {
      const na = fs.readSync(a, ba, 0, N, off); const nb = fs.readSync(b, bb, 0, N, off);
      const sa = ba.subarray(0, na); const sb = bb.subarray(0, nb);
      if (na === nb && sa.equals(sb)) { if (na === 0) return undefined; for (const c of sa) if (c === 10) line += 1; off += na; continue; }
      let i = 0; const n = Math.min(na, nb);
      while (i < n && sa[i] === sb[i]) { if (sa[i] === 10) line += 1; i += 1; }
      const ctx = s => JSON.stringify(s.subarray(Math.max(0, i - 40), i + 60).toString());
      return { offset: off + i, line, a: ctx(sa), b: ctx(sb) };
    }
  } finally { fs.closeSync(a); fs.closeSync(b); }
};
const cmpFiles = (kind, fa, fb) => {
  const ea = fs.existsSync(fa); const eb = fs.existsSync(fb);
  if (!ea || !eb) { if (ea !== eb) diff(kind, `only in ${ea ? 'A' : 'B'}: ${ea ? fa : fb}`); else diff(kind, `missing in both: ${fa}`); return; }
  const sa = fs.statSync(fa).size; const sb = fs.statSync(fb).size;
  const d = firstDifference(fa, fb);
  if (d) diff(kind, `${path.basename(fa)} differs at byte ${d.offset} (line ${d.line}); sizes ${sa} vs ${sb}\n   A: ${d.a}\n   B: ${d.b}`);
};

const compareExports = () => {
  const MF = 'export-manifest.json';
  const read = d => JSON.parse(fs.readFileSync(path.join(d, MF), 'utf8'));
  const ma = read(A); const mb = read(B);
  if (opts['ignore-mode']) { delete ma.artifactMode; delete mb.artifactMode; }
  if (!opts.json && !opts['ignore-mode']) cmpFiles('manifest bytes', path.join(A, MF), path.join(B, MF));
  const keys = new Set([...Object.keys(ma), ...Object.keys(mb)]);
  for (const k of keys) {
    if (k === 'artifacts') {
      if (!isDeepStrictEqual(ma.artifacts, mb.artifacts)) {
        const sa = new Set((ma.artifacts ?? []).map(x => JSON.stringify(x))); const sb = new Set((mb.artifacts ?? []).map(x => JSON.stringify(x)));
        let n = 0;
        for (const x of sa) if (!sb.has(x)) { diff('manifest.artifacts', `only in A: ${x}`); n += 1; }
        for (const x of sb) if (!sa.has(x)) { diff('manifest.artifacts', `only in B: ${x}`); n += 1; }
        if (!n) diff('manifest.artifacts', `same ${sa.size} entries in different order (or duplicates); first at index ${ma.artifacts.findIndex((x, i) => !isDeepStrictEqual(x, mb.artifacts[i]))}`);
      }
    } else if (!isDeepStrictEqual(ma[k], mb[k])) diff('manifest', `${k}: ${JSON.stringify(ma[k])} vs ${JSON.stringify(mb[k])}`);
  }
  if (ma.data || mb.data) cmpFiles('export-data', path.join(A, ma.data ?? 'export-data.jsonl'), path.join(B, mb.data ?? 'export-data.jsonl'));
  const fb = new Map(mb.artifacts ?? []);
  let n = 0;
  for (const [name, file] of ma.artifacts ?? []) if (fb.has(name)) { cmpFiles('artifact', path.join(A, file), path.join(B, fb.get(name))); n += 1; }
  const extra = (d, m) => { const known = new Set([MF, m.data, ...(m.artifacts ?? []).map(x => x[1])]); return fs.readdirSync(d).filter(f => !known.has(f)); };
  for (const f of extra(A, ma)) diff('stray file', `A: ${f}`);
  for (const f of extra(B, mb)) diff('stray file', `B: ${f}`);
  console.log(`${n} artifacts compared`);
};

const openDB = p => {
  let f = p;
  if (fs.statSync(p).isDirectory()) f = path.join(p, 'swingstore.sqlite');
  if (!fs.existsSync(f)) throw Error(`no ${f}`);
  return new sqlite3(f, { readonly: true });
};
const compareDBs = () => {
  const a = openDB(A); const b = openDB(B);
  if (!opts['no-integrity']) for (const [n, d] of [['A', a], ['B', b]]) {
    const r = d.pragma('integrity_check');
    if (r.length !== 1 || r[0].integrity_check !== 'ok') diff('integrity', `${n}: ${JSON.stringify(r.slice(0, 5))}`);
  }
  for (const pr of ['encoding', 'user_version', 'application_id', 'auto_vacuum']) {
    const x = a.pragma(pr, { simple: true }); const y = b.pragma(pr, { simple: true });
    if (x !== y) diff('pragma', `${pr}: ${x} vs ${y}`);
  }
  for (const pr of ['page_size', 'journal_mode', 'freelist_count', 'page_count']) {
    const x = a.pragma(pr, { simple: true }); const y = b.pragma(pr, { simple: true });
    if (x !== y) console.log(`note: ${pr} ${x} vs ${y}`);
  }
  const schema = d => d.prepare(`SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_stat%' ORDER BY type, name`).all();
  const has = (d, t) => !!d.prepare(`SELECT 1 FROM sqlite_master WHERE type='table' AND name=?`).get(t);
  if (!opts['no-schema']) {
    const sa = new Map(schema(a).map(r => [`${r.type} ${r.name}`, r])); const sb = new Map(schema(b).map(r => [`${r.type} ${r.name}`, r]));
    for (const [k, r] of sa) {
      if (!sb.has(k)) diff('schema', `only in A: ${k}`);
      else if (r.sql !== sb.get(k).sql || r.tbl_name !== sb.get(k).tbl_name) {
        const norm = s => (s ?? '').replace(/\s+/g, ' ').trim();
        diff('schema', `${k}: ${norm(r.sql) === norm(sb.get(k).sql) ? 'differs in white space only' : `\n   A: ${norm(r.sql)}\n   B: ${norm(sb.get(k).sql)}`}`);
      }
    }
    for (const k of sb.keys()) if (!sa.has(k)) diff('schema', `only in B: ${k}`);
  }
  const rt = !!opts.roundtrip; const mode = opts.mode ?? 'archival';
  // vats/incarnations whose items survive the trip
  const keepItem = (() => {
    if (!rt) return undefined;
    const cur = new Map(a.prepare('SELECT vatID, startPos, incarnation FROM transcriptSpans WHERE isCurrent=1').all().map(r => [r.vatID, r]));
    return row => {
      const c = cur.get(row.vatID);
      if (mode === 'debug') return true;
      if (!c) return false;
      if (mode === 'archival') return true;
      if (mode === 'replay') return row.incarnation === c.incarnation;
      return row.position >= c.startPos;
    };
  })();
  const tables = {
    kvStore: { key: ['key'], sql: `SELECT typeof(key) tk, CAST(key AS BLOB) key, typeof(value) tv, CAST(value AS BLOB) value FROM kvStore ORDER BY key`,
      skip: r => { const k = r.key?.toString() ?? ''; return rt && (k.startsWith('local.') || (k.startsWith('host.'))); } },
    transcriptSpans: { key: ['vatID', 'startPos'], sql: `SELECT vatID, startPos, endPos, hash, isCurrent, incarnation FROM transcriptSpans ORDER BY vatID, startPos` },
    transcriptItems: { key: ['vatID', 'position'], sql: `SELECT vatID, position, typeof(item) ti, CAST(item AS BLOB) item, incarnation FROM transcriptItems ORDER BY vatID, position`,
      skip: (r, which) => rt && which === 'A' && !keepItem(r) },
    snapshots: { key: ['vatID', 'snapPos'], sql: `SELECT vatID, snapPos, inUse, hash, uncompressedSize, compressedSize, compressedSnapshot FROM snapshots ORDER BY vatID, snapPos`,
      map: (r, which) => {
        const { compressedSnapshot: z, compressedSize, ...rest } = r;
        if (z != null) {
          if (z.length !== compressedSize) diff('snapshots', `${which}: ${r.vatID}.${r.snapPos} compressedSize ${compressedSize} but blob has ${z.length}`);
          let raw;
          try { raw = zlib.gunzipSync(z); } catch (e) { diff('snapshots', `${which}: ${r.vatID}.${r.snapPos} bad gzip: ${e.message}`); raw = z; }
          const h = createHash('sha256').update(raw).digest('hex');
          if (h !== r.hash) diff('snapshots', `${which}: ${r.vatID}.${r.snapPos} content hash ${h} is not ${r.hash}`);
          if (raw.length !== r.uncompressedSize) diff('snapshots', `${which}: ${r.vatID}.${r.snapPos} uncompressedSize ${r.uncompressedSize} but content has ${raw.length}`);
          rest.content = raw;
          if (opts.strict) { rest.z = z; rest.compressedSize = compressedSize; }
        } else { rest.content = null; rest.compressedSize = compressedSize; }
        if (rt && !r.inUse && !(mode === 'debug' && z != null)) { rest.content = null; rest.compressedSize = null; rest.uncompressedSize = null; }
        return rest;
      } },
    bundles: { key: ['bundleID'], sql: `SELECT bundleID, typeof(bundle) tb, CAST(bundle AS BLOB) bundle FROM bundles ORDER BY bundleID` },
    pendingExports: { key: ['key'], sql: `SELECT key, value FROM pendingExports ORDER BY key`, optional: true },
  };
  const eq = (x, y) => (Buffer.isBuffer(x) && Buffer.isBuffer(y) ? x.equals(y) : x === y);
  const cmpKey = (x, y, ks) => {
    for (const k of ks) {
      const p = x[k]; const q = y[k];
      if (typeof p === 'number' && typeof q === 'number') { if (p !== q) return p - q; continue; }
      const c = Buffer.compare(Buffer.isBuffer(p) ? p : Buffer.from(p ?? ''), Buffer.isBuffer(q) ? q : Buffer.from(q ?? ''));
      if (c) return c;
    }
    return 0;
  };
  for (const [t, { key, sql, skip, map, optional }] of Object.entries(tables)) {
    const ha = has(a, t); const hb = has(b, t);
    if (!ha || !hb) { if (ha !== hb && !opts['no-schema']) diff(t, `table only in ${ha ? 'A' : 'B'}`); else if (!optional) diff(t, 'table missing'); continue; }
    const adv = (it, which) => { for (;;) { const { value, done } = it.next(); if (done) return undefined; if (skip?.(value, which)) continue; return map ? map(value, which) : value; } };
    const ia = a.prepare(sql).iterate(); const ib = b.prepare(sql).iterate();
    let x = adv(ia, 'A'); let y = adv(ib, 'B'); let n = 0;
    const show = r => key.map(k => short(Buffer.isBuffer(r[k]) ? r[k].toString() : r[k])).join(' ');
    while (x || y) {
      const c = !x ? 1 : !y ? -1 : cmpKey(x, y, key);
      if (c < 0) { diff(t, `only in A: ${show(x)}`); x = adv(ia, 'A'); } else if (c > 0) { diff(t, `only in B: ${show(y)}`); y = adv(ib, 'B'); } else {
        for (const k of Object.keys(x)) if (!eq(x[k], y[k])) diff(t, `${show(x)} .${k}: ${short(x[k])} vs ${short(y[k])}`);
        n += 1; x = adv(ia, 'A'); y = adv(ib, 'B');
      }
    }
    console.log(`${t}: ${n} rows in common`);
  }
  if (rt) {
    const h = d => d.prepare(`SELECT value FROM kvStore WHERE key='host.height'`).pluck().get();
    if (String(Number(h(a)) || 0) !== h(b)) diff('kvStore', `host.height ${h(a)} vs ${h(b)}`);
  }
  a.close(); b.close();
};

try {
  if (opts.db) compareDBs(); else compareExports();
} catch (e) { console.error(e.message); process.exit(2); }
for (const [k, n] of counts) if (n > MAX) console.log(`… ${n} differences of kind ${k} in all`);
console.log(diffs ? `DIFFERENT (${diffs})` : 'EQUAL');
process.exit(diffs ? 1 : 0);
