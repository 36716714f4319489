// Builds dist/: what runs, bundled (a command of two hundred files starts half as fast), and the types beside it.
// MongoDB's driver, bson and what is native stay packages of their own: applications have and update them, too.
import { spawnSync } from 'node:child_process';
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const ENTRIES = ['index', 'cli/main', 'mongo/sentinel-main', 'engine/transform-thread'];

/** The packages that the package itself asks for, and those that it finds or does without. */
function externals() {
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
  return Object.keys({ ...dependencies, ...optionalDependencies });
}

/** The driver's own bson, which it requires: an imported one would be a second copy, loaded and warmed up beside it. */
const ONE_BSON = {
  name: 'one-bson',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^bson$/ }, ({ kind }) =>
      kind === 'require-call' ? { path: 'bson', external: true } : { path: 'bson', namespace: 'one-bson' },
    );
    onLoad({ filter: /^bson$/, namespace: 'one-bson' }, () => ({ contents: "module.exports = require('bson');" }));
  },
};

/** Bundles `src/` of the folder into its `dist/`. Chunks lie as deep as the sources, since these name files beside them. */
export async function bundle(folder) {
  const { metafile } = await build({
    absWorkingDir: folder,
    entryPoints: ENTRIES.map((name) => ({ in: `src/${name}.ts`, out: name })),
    outdir: 'dist',
    chunkNames: 'shared/[name]-[hash]',
    bundle: true,
    splitting: true,
    platform: 'node',
    format: 'esm',
    target: 'node20.19',
    external: externals(),
    plugins: [ONE_BSON],
    metafile: true,
    logLevel: 'warning',
    // Of the bundled packages that are CommonJS.
    banner: {
      js: "import { createRequire as createRequireOf } from 'node:module'; const require = createRequireOf(import.meta.url);",
    },
  });
  return metafile;
}

/** Folders of the packages whose code is in the bundle. */
function bundledPackages({ inputs }) {
  const found = Object.keys(inputs).map((path) => /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1]);
  return [...new Set(found.filter((path) => path !== undefined))].sort();
}

/** Their licences go with their code. */
function licences(packages) {
  return packages
    .map((folder) => {
      const { name, version, license } = JSON.parse(readFileSync(join(ROOT, folder, 'package.json'), 'utf8'));
      const file = readdirSync(join(ROOT, folder)).find((entry) => /^licen[cs]e/i.test(entry));
      if (!file) throw new Error(`wanted a licence in ${folder}, found none`);
      return `${name} ${version} (${license})\n\n${readFileSync(join(ROOT, folder, file), 'utf8').trim()}\n`;
    })
    .join(`\n${'-'.repeat(80)}\n\n`);
}

/** Takes the declarations away that the public ones do not lead to. */
function keepPublicTypes(dist) {
  const reached = new Set();
  const visit = (file) => {
    if (reached.has(file)) return;
    reached.add(file);
    for (const [, name] of readFileSync(file, 'utf8').matchAll(/(?:from|import)\s*\(?\s*['"](\.[^'"]+)\.js['"]/g))
      visit(resolve(dirname(file), `${name}.d.ts`));
  };
  visit(join(dist, 'index.d.ts'));
  for (const entry of readdirSync(dist, { recursive: true }))
    if (entry.endsWith('.d.ts') && !reached.has(join(dist, entry))) rmSync(join(dist, entry));
}

async function main() {
  const dist = join(ROOT, 'dist');
  rmSync(dist, { recursive: true, force: true });
  const metafile = await bundle(ROOT);
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  const { status } = spawnSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
  keepPublicTypes(dist);
  writeFileSync(join(dist, 'THIRD-PARTY-LICENCES.txt'), licences(bundledPackages(metafile)));
  chmodSync(join(dist, 'cli/main.js'), 0o755);
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) await main();
