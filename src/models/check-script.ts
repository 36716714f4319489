/**
 * The text of `scripts/check-models.js`: it loads every model file of a project that uses Mongoose and says which do
 * not load. It belongs to the project once written, so it needs nothing but Mongoose, and jiti where the models are
 * TypeScript (jiti comes with Godwit).
 */

export interface CheckScriptFacts {
  /** What a `.js` file is in the project. */
  readonly moduleSystem: 'esm' | 'cjs';
  /** Whether model files may be TypeScript. */
  readonly isTypeScript: boolean;
}

/** Folders that models are looked for in, with all that is below them. */
export const MODEL_FOLDERS = ['models', 'src/models', 'app/models', 'lib/models'] as const;

function headOf({ moduleSystem, isTypeScript }: CheckScriptFacts): string {
  if (moduleSystem === 'esm')
    return `import { readdir } from 'node:fs/promises';
${isTypeScript ? "import { createRequire } from 'node:module';\n" : ''}import net from 'node:net';
import path from 'node:path';
import { fileURLToPath${isTypeScript ? '' : ', pathToFileURL'} } from 'node:url';
import mongoose from 'mongoose';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
${isTypeScript ? 'const require = createRequire(import.meta.url);\n' : ''}`;
  return `'use strict';
const { readdir } = require('node:fs/promises');
${isTypeScript ? "const { createRequire } = require('node:module');\n" : ''}const net = require('node:net');
const path = require('node:path');
${isTypeScript ? '' : "const { pathToFileURL } = require('node:url');\n"}const mongoose = require('mongoose');

const root = path.resolve(__dirname, '..');
`;
}

const LOAD_JAVASCRIPT = `const MODEL_FILE = /\\.[cm]?js$/;
const load = (file) => import(pathToFileURL(path.join(root, file)).href);`;

const LOAD_TYPESCRIPT = `const MODEL_FILE = /\\.[cm]?[jt]s$/;
const { createJiti } = createRequire(require.resolve('godwit/package.json'))('jiti');
const jiti = createJiti(path.join(root, 'index.js'), { fsCache: false, tsconfigPaths: true });
const load = (file) => jiti.import(path.join(root, file));`;

const BODY = `const NO_MODEL_FILE = /\\.(test|spec)\\.[cm]?[jt]s$|\\.d\\.[cm]?ts$/;
/** A file that takes longer to load than this, in ms, fails. */
const LIMIT_MS = 10_000;

// No database: opening a connection does nothing, a query says so at once, and no socket leaves this process.
mongoose.set('autoCreate', false);
mongoose.set('autoIndex', false);
mongoose.set('bufferCommands', false);
mongoose.Connection.prototype.openUri = async function openUri() {
  return this;
};
net.Socket.prototype.connect = function connect() {
  return this.destroy(new Error('check-models opens no connections'));
};

/** What files do beside loading (a client that finds no server, say) is told, and is no failure. */
const asides = new Set();
const noteAside = (error) => asides.add(describe(error));
process.on('uncaughtException', noteAside);
process.on('unhandledRejection', noteAside);

// A file that ends the process fails, and the others are still looked at.
const leave = process.exit.bind(process);
process.exit = () => {
  throw new Error('it ends the process');
};

async function listFiles(folder) {
  const entries = await readdir(path.join(root, folder), { withFileTypes: true }).catch((error) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return [];
    throw error;
  });
  const lists = entries.map((entry) => {
    const name = \`\${folder}/\${entry.name}\`;
    if (entry.isDirectory()) return /^(node_modules|__tests__|__mocks__)$/.test(entry.name) ? [] : listFiles(name);
    return MODEL_FILE.test(name) && !NO_MODEL_FILE.test(name) ? [name] : [];
  });
  return (await Promise.all(lists)).flat();
}

/** One line, with the place in the project's own files where there is one. */
function describe(error) {
  if (!(error instanceof Error)) return String(error);
  const lines = String(error.stack).split('\\n');
  const isOwn = (line) => line.includes(root) && !/node_modules|scripts.check-models/.test(line);
  const own = lines.find((line) => isOwn(line) && /:\\d+/.test(line));
  const place = own?.slice(own.indexOf(root) + root.length + 1).replace(/\\)$/, '');
  return \`\${error.name}: \${error.message.split('\\n')[0]}\${place ? \` (\${place})\` : ''}\`;
}

async function loadInTime(file) {
  let timer;
  const late = new Promise((_done, fail) => {
    timer = setTimeout(() => fail(new Error(\`it was still loading after \${LIMIT_MS / 1_000} s\`)), LIMIT_MS);
  });
  await Promise.race([load(file), late]).finally(() => clearTimeout(timer));
}

/** True when the file loads; says so, with the models that it brought. */
async function check(file) {
  const known = new Set(mongoose.modelNames());
  try {
    await loadInTime(file);
  } catch (error) {
    console.log(\`fail  \${file}\\n      \${describe(error)}\`);
    return false;
  }
  const models = mongoose.modelNames().filter((name) => !known.has(name));
  console.log(\`ok    \${file}\${models.length === 0 ? '' : \`  \${models.join(', ')}\`}\`);
  return true;
}

/** An index beside other files gathers them: it must load, and is counted only when it does not. */
const isIndex = (file) => /(^|\\/)index\\.[cm]?[jt]s$/.test(file);
const gathers = (file, files) =>
  isIndex(file) && files.some((other) => other !== file && other.startsWith(\`\${path.posix.dirname(file)}/\`));

async function main() {
  const files = (await Promise.all(FOLDERS.map(listFiles))).flat().sort();
  files.sort((a, b) => gathers(a, files) - gathers(b, files));
  let [loaded, failed] = [0, 0];
  for (const file of files) {
    if (!(await check(file))) failed += 1;
    else if (!gathers(file, files)) loaded += 1;
  }
  for (const aside of asides) console.log(\`note  \${aside}\`);
  if (files.length === 0) console.log(\`no model files in \${FOLDERS.join(', ')}: name your folders in FOLDERS\`);
  console.log(\`\${loaded} models load, \${failed} fail\`);
  return failed > 0 || files.length === 0 ? 1 : 0;
}

main().then(
  // Whatever the files left open (timers, clients) does not keep the process.
  (code) => process.stdout.write('', () => leave(code)),
  (error) => {
    console.error(error);
    leave(1);
  },
);
`;

/** The script, for this project. */
export function checkScriptText(facts: CheckScriptFacts): string {
  const head = headOf(facts);
  const strict = head.startsWith("'use strict';\n") ? "'use strict';\n" : '';
  return `${strict}/**
 * Do all models load? Loads every model file in one process, without a database, and says which fail and why.
 *
 * Run it:  node scripts/check-models.js     exit 0: all load; 1: some do not, or there are none
 * Written by \`godwit init\`; it is yours now.
 */
${head.slice(strict.length)}
/** Where models are, with all folders below; paths from the project's root. */
const FOLDERS = ${JSON.stringify(MODEL_FOLDERS).replaceAll('"', "'").replaceAll(',', ', ')};
${facts.isTypeScript ? LOAD_TYPESCRIPT : LOAD_JAVASCRIPT}
${BODY}`;
}
