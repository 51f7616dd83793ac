/** Bundles the harness into a folder (first argument; build/harness): `node tests/harness/build.mjs`. The page works from the disk as well. */
import { copyFile, mkdir } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const out = resolve(process.argv[2] ?? join(here, '../../build/harness'));
await mkdir(out, { recursive: true });
await build({
  entryPoints: [join(here, 'harness.ts')],
  outdir: out,
  bundle: true,
  format: 'iife',
  target: 'es2022',
  sourcemap: 'inline',
  loader: { '.svg': 'text' },
  logLevel: 'warning',
});
await copyFile(join(here, 'index.html'), join(out, 'index.html'));
console.log(join(out, 'index.html'));
