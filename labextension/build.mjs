/**
 * Builds what users get:
 *
 *   src/lab         -> jupyterfut/labextension                     the JupyterLab extension, by way of lib/
 *   src/standalone  -> jupyterfut/diagnostics/dashboard/static     the dashboard's page: index.html, standalone.js, standalone.css
 *   src/output      -> jupyterfut/diagnostics/dashboard/static     a notebook output: output.js (one ES module), output.css
 *
 * esbuild turns TypeScript into JavaScript (types are tsc's affair: `npm run lint`). For JupyterLab a second step, @jupyter/builder, makes what it
 * loads at run time: a container in which JupyterLab's own packages are not contained but asked for; core.json names them, and the oldest versions
 * that will do. None of them has to be installed to build. The version stands in jupyterfut/_version.py, and nowhere else.
 *
 * node build.mjs [--watch] [--development]      (--development: readable, with source maps; --watch implies it)
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as esbuild from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const python = join(here, '..', 'jupyterfut');
const lib = join(here, 'lib');
const labextension = join(python, 'labextension');
const pages = join(python, 'diagnostics', 'dashboard', 'static');
const watch = process.argv.includes('--watch');
const development = watch || process.argv.includes('--development');
const core = JSON.parse(readFileSync(join(here, 'core.json'), 'utf8'));

/** What all three have in common. */
const common = {
  absWorkingDir: here,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  loader: { '.svg': 'text', '.html': 'copy' },
  minify: !development,
  legalComments: 'eof',
  sourcemap: development ? 'linked' : false,
  logLevel: 'warning',
};

/** A package of JupyterLab must come from JupyterLab, not along in the bundle. */
const shared = new Set([...Object.keys(core.dependencies), ...Object.keys(core.resolutions)]);
const strangers = {
  name: 'strangers',
  setup(build) {
    build.onResolve({ filter: /^(@jupyterlab|@lumino)\/|^react(-dom)?(\/|$)/ }, ({ path }) => {
      const name = path.startsWith('@') ? path.split('/', 2).join('/') : path.split('/', 1)[0];
      const text = `${name} is not in labextension/core.json: name it there, with the oldest version that will do, so that JupyterLab's own is used`;
      return shared.has(name) ? { path, external: true } : { errors: [{ text }] };
    });
  },
};

const lab = {
  ...common,
  entryPoints: { index: 'src/lab/index.ts' },
  outdir: lib,
  splitting: true,
  chunkNames: 'chunk-[hash]',
  plugins: [strangers],
  minify: false, // the next step does
};

const page = {
  ...common,
  entryPoints: { standalone: 'src/standalone/index.ts', index: 'src/standalone/index.html' },
  outdir: pages,
};

const output = { ...common, entryPoints: { output: 'src/output/index.ts' }, outdir: pages };

/** The package that @jupyter/builder is shown: made anew each time, from the one version and the one list of packages. */
function writePackage() {
  const version = /__version__ = "([^"]+)"/.exec(readFileSync(join(python, '_version.py'), 'utf8'))?.[1];
  if (!version) {
    throw new Error('jupyterfut/_version.py: no __version__');
  }
  const { name, description, license } = JSON.parse(readFileSync(join(here, 'package.json'), 'utf8'));
  const data = {
    name,
    version: npmVersion(version),
    description,
    license,
    main: 'index.js',
    style: 'index.css',
    dependencies: {},
    jupyterlab: {
      extension: true,
      outputDir: '../../jupyterfut/labextension',
      schemaDir: '../schema',
      discovery: { server: { managers: ['pip', 'conda'], base: { name: 'jupyterfut' } } },
    },
  };
  rmSync(lib, { recursive: true, force: true });
  mkdirSync(lib, { recursive: true });
  writeFileSync(join(lib, 'package.json'), `${JSON.stringify(data, null, 2)}\n`);
}

/** `0.2.0.dev3` is written `0.2.0-dev.3` in npm's world. */
function npmVersion(version) {
  const parts = /^(\d+\.\d+\.\d+)(?:\.?(a|b|rc|dev)(\d+))?$/.exec(version);
  if (!parts) {
    throw new Error(`jupyterfut/_version.py: ${version} has no counterpart among npm's versions`);
  }
  const names = { a: 'alpha', b: 'beta', rc: 'rc', dev: 'dev' };
  return parts[2] ? `${parts[1]}-${names[parts[2]]}.${parts[3]}` : parts[1];
}

/** The second step for JupyterLab. */
function federate() {
  // importing a style sheet is not a must; the builder wants a file to exist
  if (!existsSync(join(lib, 'index.css'))) {
    writeFileSync(join(lib, 'index.css'), '');
  }
  mkdirSync(labextension, { recursive: true });
  const program = join(here, 'node_modules', '@jupyter', 'builder', 'lib', 'build-labextension.js');
  const flags = ['--core-package-file', join(here, 'core.json'), ...(development ? ['--development'] : []), ...(watch ? ['--watch'] : [])];
  return new Promise((done, failed) => {
    const child = spawn(process.execPath, [program, ...flags, lib], { stdio: ['ignore', 'pipe', 'pipe'] });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.on('data', data => {
        said += data;
        if (watch) {
          process.stdout.write(data);
        }
      });
    }
    child.on('error', failed);
    child.on('close', code => {
      if (!watch && (code !== 0 || said.includes('WARNING'))) {
        console.error(said);
      }
      if (code === 0) {
        done();
      } else {
        failed(new Error(`@jupyter/builder failed with exit code ${code}`));
      }
    });
  });
}

/** What is contained of others says so beside it, in the form in which JupyterLab shows licenses. */
function writeLicenses(directory, ...results) {
  const path = join(directory, 'third-party-licenses.json');
  const packages = existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).packages : [];
  const folders = results.flatMap(result => Object.keys(result.metafile.inputs)).map(name => /^node_modules\/(?:@[^/]+\/)?[^/]+/.exec(name)?.[0]);
  for (const folder of [...new Set(folders.filter(Boolean))].sort()) {
    const { name, version, license } = JSON.parse(readFileSync(join(here, folder, 'package.json'), 'utf8'));
    const file = readdirSync(join(here, folder)).find(entry => /^licen[cs]e(\.|$)/i.test(entry));
    packages.push({ name, versionInfo: version, licenseId: license, extractedText: file ? readFileSync(join(here, folder, file), 'utf8') : '' });
  }
  writeFileSync(path, `${JSON.stringify({ packages }, null, 2)}\n`);
}

writePackage();
if (!watch) {
  rmSync(pages, { recursive: true, force: true });
}
if (watch) {
  for (const options of [lab, page, output]) {
    const context = await esbuild.context({ ...options, logLevel: 'info' });
    await context.rebuild();
    await context.watch();
  }
  await federate();
} else {
  const results = [lab, page, output].map(options => esbuild.build({ ...options, metafile: true }));
  const [inLab, ...inPages] = await Promise.all(results);
  writeLicenses(pages, ...inPages);
  await federate();
  writeLicenses(join(labextension, 'static'), inLab);
}
