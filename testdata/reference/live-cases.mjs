// Tables of odd stores, damaged exports and command lines for live.mjs; tiny (seed 1) is what they change.
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';

// ---------------------------------------------------------------- stores: SQL, or a function of the open database
const heap = fn => db => {
  const row = db.prepare(`SELECT rowid, compressedSnapshot z FROM snapshots WHERE vatID = 'v1' AND inUse = 1`).get();
  db.prepare('UPDATE snapshots SET compressedSnapshot = ? WHERE rowid = ?').run(fn(row.z), row.rowid);
};
const item = (position, expression) => `UPDATE transcriptItems SET item = ${expression} WHERE vatID = 'v1' AND position = ${position}`;
const kv = (key, value) => `INSERT OR REPLACE INTO kvStore VALUES (${key}, ${value})`;
const bundle = (prefix, expression) =>
  `UPDATE bundles SET bundle = ${expression} WHERE bundleID = (SELECT max(bundleID) FROM bundles WHERE bundleID LIKE '${prefix}-%')`;
const rebuild = (table, columns, rest = '') =>
  `CREATE TABLE t2 (${columns.join(', ')} ${rest}); INSERT INTO t2 SELECT ${columns.map(c => c.split(' ')[0]).join(', ')} FROM ${table};
   DROP TABLE ${table}; ALTER TABLE t2 RENAME TO ${table}`;

export const oddStores = {
  // v1 of tiny: spans 0..37 in three incarnations, the current one 35..37
  'historical item changed': item(30, `item || 'x'`),
  'current item changed': item(36, `item || 'x'`),
  'item with trailing white space': item(30, `item || char(0x20, 0x3000, 0xfeff)`),
  'item with a newline': item(30, `item || char(10) || 'x'`),
  'item NULL': item(30, 'NULL'),
  'item BLOB': item(30, 'CAST(item AS BLOB)'),
  'item BLOB of broken UTF-8': item(30, `X'41FF42C0AFE28241F09F98EDA080'`),
  'item TEXT of broken UTF-8': item(30, `CAST(X'41FF42C0AFE28241F09F98EDA080' AS TEXT)`),
  'item with NUL': item(30, `'a' || char(0) || 'b'`),
  'item of 3 MB': item(30, `printf('%.3000000c', 'x')`),
  'historical item missing': `DELETE FROM transcriptItems WHERE vatID = 'v1' AND position = 30`,
  'current item missing': `DELETE FROM transcriptItems WHERE vatID = 'v1' AND position = 36`,
  'items of no span': `INSERT INTO transcriptItems VALUES ('v1', 1000, 'x', 2), ('v1', -1, 'x', 0), ('nobody', 0, 'x', 0)`,
  'rows in reverse order': `CREATE TEMP TABLE t AS SELECT * FROM transcriptItems ORDER BY rowid DESC; DELETE FROM transcriptItems;
    INSERT INTO transcriptItems SELECT * FROM t`,
  'historical spans lost': `DELETE FROM transcriptSpans WHERE isCurrent IS NULL`,
  'one span lost': `DELETE FROM transcriptSpans WHERE vatID = 'v1' AND startPos = (SELECT min(startPos) FROM transcriptSpans WHERE vatID = 'v1')`,
  'overlapping spans': `INSERT INTO transcriptSpans SELECT vatID, startPos + 1, endPos, hash, NULL, incarnation FROM transcriptSpans
    WHERE vatID = 'v1' AND isCurrent IS NULL AND endPos - startPos > 2`,
  'incarnation NULL': `UPDATE transcriptSpans SET incarnation = NULL WHERE vatID = 'v1'`,
  'span hash wrong': `UPDATE transcriptSpans SET hash = 'abc' WHERE vatID = 'v1' AND isCurrent = 1`,
  'span hash NULL': `UPDATE transcriptSpans SET hash = NULL WHERE vatID = 'v1' AND isCurrent = 1`,
  'span end too large': `UPDATE transcriptSpans SET endPos = endPos + 1 WHERE vatID = 'v1' AND isCurrent = 1`,
  'heap hash wrong': `UPDATE snapshots SET hash = 'abc' WHERE vatID = 'v1' AND inUse = 1`,
  'heap sizes NULL': `UPDATE snapshots SET compressedSize = NULL, uncompressedSize = NULL`,
  'heap sizes wrong': `UPDATE snapshots SET compressedSize = 1, uncompressedSize = 1`,
  'heap in use pruned': `UPDATE snapshots SET compressedSnapshot = NULL WHERE vatID = 'v1' AND inUse = 1`,
  'heap of two gzip members': heap(z => {
    const raw = zlib.gunzipSync(z);
    return Buffer.concat([zlib.gzipSync(raw.subarray(0, 100)), zlib.gzipSync(raw.subarray(100))]);
  }),
  'heap with junk behind it': heap(z => Buffer.concat([z, Buffer.from('junk')])),
  'heap cut': heap(z => z.subarray(0, z.length - 9)),
  'heap of no bytes': heap(() => Buffer.alloc(0)),
  'bundle pruned': bundle('b1', 'NULL'),
  'bundle b0 changed': bundle('b0', `'{"moduleFormat":"nestedEvaluate","source":"other"}'`),
  'bundle b0 in another key order': bundle('b0', `'{"source":"1+1","sourceMap":"//# sourceMappingURL=3.js.map","moduleFormat":"nestedEvaluate"}'`),
  'bundle b0 empty': bundle('b0', `''`),
  'bundle b1 cut': bundle('b1', `substr(bundle, 1, length(bundle) - 1)`),
  'kv value BLOB': kv(`'odd'`, `X'0102ff'`),
  'kv value NULL': kv(`'odd'`, 'NULL'),
  'kv value numbers': `${kv(`'odd1'`, '1.5')}; ${kv(`'odd2'`, '-7')}; ${kv(`'odd3'`, '9007199254740993')}`,
  'kv value of 3 MB': kv(`'odd'`, `printf('%.3000000c', '"')`),
  'kv key NULL': kv('NULL', `'x'`),
  'kv key BLOB': kv(`X'00ff'`, `'x'`),
  'kv key with NUL': kv(`'a' || char(0) || 'b'`, `'x' || char(0)`),
  'pending exports': `INSERT INTO pendingExports VALUES ('a', 'b')`,
  'height missing': `DELETE FROM kvStore WHERE key = 'host.height'`,
  'height 1e21': kv(`'host.height'`, `'1e21'`),
  'height 0x10 between spaces': kv(`'host.height'`, `' 0x10 '`),
  'height no number': kv(`'host.height'`, `'abc'`),
  'height 1.5': kv(`'host.height'`, `'1.5'`),
  'vat ID with a dot': `INSERT INTO transcriptSpans SELECT 'v.1', 0, 0, hash, 1, 0 FROM transcriptSpans WHERE vatID = 'v3'`,
  'vat ID with a slash': `INSERT INTO transcriptSpans SELECT 'v/1', 0, 0, hash, 1, 0 FROM transcriptSpans WHERE vatID = 'v3'`,
  'no snapshots table': 'DROP TABLE snapshots',
  'no bundles table': 'DROP TABLE bundles',
  'no pendingExports table': 'DROP TABLE pendingExports',
  'no transcript tables': 'DROP TABLE transcriptItems; DROP TABLE transcriptSpans',
  'nothing but a height': `DELETE FROM kvStore WHERE key <> 'host.height'; DELETE FROM transcriptItems; DELETE FROM transcriptSpans;
    DELETE FROM snapshots; DELETE FROM bundles`,
  'items without incarnation column': rebuild('transcriptItems', ['vatID TEXT', 'position INTEGER', 'item TEXT'], ', PRIMARY KEY (vatID, position)'),
  'spans without incarnation column': rebuild('transcriptSpans', ['vatID TEXT', 'startPos INTEGER', 'endPos INTEGER', 'hash TEXT', 'isCurrent INTEGER'],
    ', PRIMARY KEY (vatID, startPos), UNIQUE (vatID, isCurrent)'),
  'page size 1024': 'PRAGMA page_size = 1024; VACUUM',
  'page size 65536': 'PRAGMA page_size = 65536; VACUUM',
  'free pages': `DELETE FROM kvStore WHERE key LIKE 'v%'; CREATE TABLE other (x); INSERT INTO other SELECT item FROM transcriptItems; DROP TABLE other`,
};

// ---------------------------------------------------------------- exports: functions of a copy of tiny's archival export
const edit = (file, fn) => dir => {
  const name = path.join(dir, file);
  fs.writeFileSync(name, fn(fs.readFileSync(name, 'latin1')), 'latin1');
};
const manifest = fn => dir => {
  const file = path.join(dir, 'export-manifest.json');
  const m = JSON.parse(fs.readFileSync(file, 'utf8'));
  fs.writeFileSync(file, JSON.stringify(fn(m, dir) ?? m, null, 2));
};
const moreArtifact = name => manifest((m, dir) => {
  fs.writeFileSync(path.join(dir, 'more'), 'x\n');
  m.artifacts.push([name, 'more']);
});
const data = fn => edit('export-data.jsonl', fn);
const append = line => data(s => `${s}${line}\n`);
const artifact = (prefix, fn) => dir => {
  const name = fs.readdirSync(dir).filter(f => f.startsWith(prefix)).sort()[0];
  edit(name, fn)(dir);
};
const flip = at => s => `${s.slice(0, at)}${String.fromCharCode(s.charCodeAt(at) ^ 1)}${s.slice(at + 1)}`;
const without = prefix =>
  manifest(m => {
    const i = m.artifacts.findIndex(([name]) => name.startsWith(prefix));
    if (i < 0) throw Error(`no artifact ${prefix}`);
    m.artifacts.splice(i, 1);
  });
const change = (pattern, replacement) => data(s => {
  const t = s.replace(pattern, replacement);
  if (t === s) throw Error(`no ${pattern}`);
  return t;
});

export const oddExports = {
  'unchanged': () => {},
  'no manifest': dir => fs.rmSync(path.join(dir, 'export-manifest.json')),
  'empty manifest': edit('export-manifest.json', () => ''),
  'cut manifest': edit('export-manifest.json', s => s.slice(0, -20)),
  'manifest without a height': manifest(m => { delete m.blockHeight; }),
  'manifest with a height of text': manifest(m => { m.blockHeight = '1234567'; }),
  'manifest with a large height': manifest(m => { m.blockHeight = 1e21; }),
  'manifest with a height of zero': manifest(m => { m.blockHeight = 0; }),
  'manifest without data': manifest(m => { delete m.data; }),
  'manifest without artifacts': manifest(m => { delete m.artifacts; }),
  'manifest with no artifacts': manifest(m => { m.artifacts = []; }),
  'manifest without a mode': manifest(m => { delete m.artifactMode; }),
  'manifest of mode debug': manifest(m => { m.artifactMode = 'debug'; }),
  'manifest of mode replay': manifest(m => { m.artifactMode = 'replay'; }),
  'manifest of mode none': manifest(m => { m.artifactMode = 'none'; }),
  'manifest of an unknown mode': manifest(m => { m.artifactMode = 'bogus'; }),
  'manifest with more fields': manifest(m => ({ more: { a: [1] }, ...m, z: null })),
  'artifact files with other names': manifest((m, dir) => {
    m.artifacts = m.artifacts.map(([name, file], i) => { fs.renameSync(path.join(dir, file), path.join(dir, `f${i}`)); return [name, `f${i}`]; });
  }),
  'artifacts in reverse order': manifest(m => { m.artifacts.reverse(); }),
  'artifact of an unknown type': moreArtifact('other.v1.0'),
  'artifact without metadata': moreArtifact('transcript.v1.900.910'),
  'artifact with another end': manifest(m => { const a = m.artifacts.find(([n]) => n.startsWith('transcript.v1.')); a[0] = a[0].replace(/\d+$/, '999'); }),
  'artifact name that is none': moreArtifact('transcript.v1'),
  'heap not in the manifest': without('snapshot.v1.'),
  'historical span not in the manifest': without('transcript.v1.0.'),
  'current span not in the manifest': without('transcript.v1.35.'),
  'bundle not in the manifest': without('bundle.b1-'),
  'heap file missing': dir => fs.rmSync(path.join(dir, 'snapshot.v1.34')),
  'data missing': dir => fs.rmSync(path.join(dir, 'export-data.jsonl')),
  'data empty': data(() => ''),
  'data cut': data(s => s.slice(0, -30)),
  'data without the last newline': data(s => s.slice(0, -1)),
  'data in reverse order': data(s => `${s.trimEnd().split('\n').reverse().join('\n')}\n`),
  'data with a blank line': append(''),
  'data with spaces': change('["kv.a",', ' [ "kv.a" , '),
  'data with a line that is no JSON': append('nonsense'),
  'data with a line that is no list': append('{"key":"kv.x"}'),
  'data with three elements': append('["kv.three","x","y"]'),
  'data with one element': append('["kv.a"]'),
  'data of an unknown tag': append('["other.x","y"]'),
  'kv twice': append('["kv.a","again"]'),
  'kv deleted': append('["kv.a",null]'),
  'kv deleted before it is there': data(s => `["kv.a",null]\n${s}`),
  'kv of the host': append('["kv.host.x","y"]'),
  'kv local': append('["kv.local.x","y"]'),
  'kv value a number': append('["kv.x",1]'),
  'kv lone surrogate': append('["kv.x\\udfff","\\ud800 \\ud83d\\ude00"]'),
  'kv escaped slash and NUL': append('["kv.\\u0000\\/","\\u0000"]'),
  'kv of an empty key': append('["kv.",""]'),
  'kv of no key': append('["kv","x"]'),
  'span hash changed': change(/(\["transcript\.v1\.current".*?hash\\":\\")([0-9a-f]{4})/, '$1ffff'),
  'span hash missing': change(/(\["transcript\.v1\.current".*?)\\"hash\\":\\"[0-9a-f]*\\",/, '$1'),
  'span end missing': change(/(\["transcript\.v1\.current".*?)\\"endPos\\":\d+,/, '$1'),
  'span incarnation missing': change(/(\["transcript\.v1\.current".*?),\\"incarnation\\":\d+/, '$1'),
  'span of another vat': change(/(\["transcript\.v1\.current".*?)\\"vatID\\":\\"v1\\"/, '$1\\"vatID\\":\\"v2\\"'),
  'span at another place': change(/(\["transcript\.v1\.0",.*?)\\"startPos\\":0/, '$1\\"startPos\\":1'),
  'span current under a number': change('["transcript.v1.current"', '["transcript.v1.35"'),
  'span no metadata': append('["transcript.v1.0","nonsense"]'),
  'span deleted': append('["transcript.v1.0",null]'),
  'current span deleted': append('["transcript.v1.current",null]'),
  'heap hash changed': change(/(\["snapshot\.v1\.34".*?hash\\":\\")([0-9a-f]{4})/, '$1ffff'),
  'heap position changed': change(/(\["snapshot\.v1\.34".*?)\\"snapPos\\":34/, '$1\\"snapPos\\":33'),
  'heap current record changed': change('["snapshot.v1.current","snapshot.v1.34"]', '["snapshot.v1.current","snapshot.v1.5"]'),
  'two heaps in use': change(/(\["snapshot\.v1\.5".*?)\\"inUse\\":0/, '$1\\"inUse\\":1'),
  'bundle record changed': change(/(\["bundle\.b0-[0-9a-f]*","b0-)[0-9a-f]{4}/, '$1ffff'),
  'bundle record deleted': data(s => `${s}${/\["(bundle\.b1-[0-9a-f]*)"/.exec(s)[0]},null]\n`),
  'byte changed in a historical span': edit('transcript.v1.0.6', flip(40)),
  'byte changed in a current span': edit('transcript.v1.35.37', flip(2)),
  'line added to a span': edit('transcript.v1.35.37', s => `${s}x\n`),
  'line missing in a span': edit('transcript.v1.35.37', s => s.slice(0, s.indexOf('\n') + 1)),
  'blank line in a span': edit('transcript.v1.35.37', s => `${s}\n`),
  'span without its last newline': edit('transcript.v1.35.37', s => s.slice(0, -1)),
  'span with CRLF': edit('transcript.v1.35.37', s => s.replaceAll('\n', '\r\n')),
  'byte changed in a heap': edit('snapshot.v1.34', flip(10)),
  'heap cut': edit('snapshot.v1.34', s => s.slice(0, -1)),
  'byte changed in a b0 bundle': artifact('bundle.b0-', flip(30)),
  'b0 bundle with spaces': artifact('bundle.b0-', s => s.replaceAll(',"source', ' , "source')),
  'b0 bundle with one more field': artifact('bundle.b0-', s => s.replace('{', '{"more":1,')),
  'b0 bundle that is no JSON': artifact('bundle.b0-', s => s.slice(0, -1)),
  'byte changed in a b1 bundle': artifact('bundle.b1-', flip(300)),
  'b1 bundle cut': artifact('bundle.b1-', s => s.slice(0, -30)),
  'b1 bundle empty': artifact('bundle.b1-', () => ''),
};

// ---------------------------------------------------------------- command lines, on tiny and its archival export
export const oddFlags = [
  ['export', {}],
  ['export', { 'artifact-mode': 'archival' }],
  ['export', { 'export-data-mode': 'all' }],
  ['export', { 'check-block-height': '1234567' }],
  ['export', { 'check-block-height': '0' }],
  ['export', { 'check-block-height': '1234566' }],
  ['export', { 'artifact-mode': 'bogus' }],
  ['export', { 'export-data-mode': 'bogus' }],
  ['export', { 'export-data-mode': 'repair-metadata' }],
  ['export', { 'include-export-data': 'true' }],
  ['export', { 'export-mode': 'archival' }],
  ['import', { 'check-block-height': '1234567' }],
  ['import', { 'check-block-height': '0' }],
  ['import', { 'check-block-height': '1234566' }],
  ['import', { 'artifact-mode': 'none' }],
  ['import', { 'artifact-mode': 'bogus' }],
  ['import', { 'export-data-mode': 'bogus' }],
  ['import', { 'export-data-mode': 'skip' }],
  ['import', { 'export-data-mode': 'all' }],
  ['import', { 'include-historical': 'true' }],
];
