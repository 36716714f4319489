/** `init`: what a project needs to begin. It adds, and never replaces: a second time changes nothing. */
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { loadConfig } from '../config/load.js';
import { configText } from '../config/template.js';
import { checkScriptText } from '../models/check-script.js';
import { type DeclaredModel, findDeclaredModels } from '../models/declared.js';
import { exists, type Project, readProject } from './project.js';

/** Paths relative to `cwd`, with `/`. A `.gitignore` that got its line counts as created. */
export interface InitResult {
  readonly created: readonly string[];
  readonly kept: readonly string[];
}

interface Work {
  readonly cwd: string;
  readonly created: string[];
  readonly kept: string[];
}

/** Writes the file unless one of these names is taken. */
async function add(work: Work, path: string, text: string, twins: readonly string[] = []): Promise<void> {
  for (const name of [path, ...twins]) if (await exists(join(work.cwd, name))) return void work.kept.push(name);
  await mkdir(dirname(join(work.cwd, path)), { recursive: true });
  await writeFile(join(work.cwd, path), text, { flag: 'wx' });
  work.created.push(path);
}

const CONFIG_NAMES = ['ts', 'mts', 'js', 'mjs', 'cjs', 'json'].map((extension) => `godwit.config.${extension}`);

async function addConfig(work: Work, { isTypeScript, typeScriptExtension }: Project): Promise<void> {
  await add(work, `godwit.config.${isTypeScript ? typeScriptExtension : 'mjs'}`, configText(), CONFIG_NAMES);
}

/** The folder that the configuration names; `.gitkeep` lets git hold it while it is empty. */
async function addFolder(work: Work, folder: string): Promise<void> {
  const path = relative(work.cwd, folder).replaceAll('\\', '/');
  const names = await readdir(folder).catch(() => []);
  if (names.some((name) => name !== '.gitkeep')) work.kept.push(`${path}/`);
  else await add(work, `${path}/.gitkeep`, '');
}

const IGNORED = '.godwit/';

async function addIgnore(work: Work): Promise<void> {
  const path = join(work.cwd, '.gitignore');
  const text = (await exists(path)) ? await readFile(path, 'utf8') : '';
  if (/^(\*\*)?\/?\.godwit\/?\s*$/m.test(text)) return void work.kept.push('.gitignore');
  const lineEnd = text.includes('\r\n') ? '\r\n' : '\n';
  const gap = text === '' || text.endsWith('\n') ? '' : lineEnd;
  await writeFile(path, `${gap}${IGNORED}${lineEnd}`, { flag: 'a' });
  work.created.push('.gitignore');
}

/** Every model is its own target to begin with. A name that two files declare is kept apart by its file. */
function mappingText(models: readonly DeclaredModel[]): string {
  const isTwice = (name: string): boolean => models.filter((model) => model.name === name).length > 1;
  const entries = models.map(({ name, file, collection }) => {
    const key = isTwice(name) ? `${name} (${file})` : name;
    return [key, { target: name, file, collection }] as const;
  });
  return `${JSON.stringify({ models: Object.fromEntries(entries) }, null, 2)}\n`;
}

const CHECK = ['scripts/check-models.js', 'scripts/check-models.mjs', 'scripts/check-models.cjs'] as const;
const MAPPING = 'scripts/model-mapping.json';

async function addModels(work: Work, project: Project): Promise<void> {
  await add(work, CHECK[0], checkScriptText(project), CHECK.slice(1));
  if (await exists(join(work.cwd, MAPPING))) return void work.kept.push(MAPPING);
  await add(work, MAPPING, mappingText(await findDeclaredModels(work.cwd)));
}

/**
 * Writes `godwit.config.ts` (`.mjs` in a project without TypeScript), the folder of the migrations and the line
 * `.godwit/` in `.gitignore`; where the project uses Mongoose, `scripts/check-models.js` and a first
 * `scripts/model-mapping.json` too.
 *
 * @throws GodwitError GODWIT_CONFIG for a configuration or a package.json that cannot be read
 */
export async function initProject({ cwd }: { readonly cwd: string }): Promise<InitResult> {
  const project = await readProject(cwd);
  const { migrationsFolder } = await loadConfig({ cwd });
  const work: Work = { cwd, created: [], kept: [] };
  await addConfig(work, project);
  await addFolder(work, migrationsFolder);
  await addIgnore(work);
  if (project.packages.has('mongoose')) await addModels(work, project);
  return { created: work.created, kept: work.kept };
}
