// Which test shows which promise, fault row or mutant, read from the syntax trees of the test files: their tags.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createJiti } from 'jiti';
import { parseSync } from 'oxc-parser';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const { import: load } = createJiti(import.meta.url);
const { FAULTS, NOT_YET, PROMISES } = await load('../test/claims/claims.ts');
const { MUTANTS } = await load('../test/campaign/mutants.ts');

const MUTANT_TEST = 'test/campaign/mutants.long.test.ts';
const TIERS = { short: '`npm test`', matrix: '`npm test`: one case; `test:all`: every case', long: '`test:all`' };

const files = () =>
  readdirSync(join(ROOT, 'test'), { recursive: true })
    .map((name) => join('test', name.replaceAll('\\', '/')))
    .filter((path) => path.endsWith('.ts'))
    .sort();

/** `describe`, `test` or null for the call `describe(…)`, `test.each(…)(…)` and their like. */
function kindOf(callee) {
  let at = callee;
  while (at.type === 'CallExpression' || at.type === 'MemberExpression')
    at = at.type === 'CallExpression' ? at.callee : at.object;
  return at.type === 'Identifier' && /^(describe|test)$/.test(at.name) ? at.name : null;
}

/** The value of a text as far as it is literal. */
function textOf(node) {
  if (node?.type === 'Literal') return String(node.value);
  if (node?.type !== 'TemplateLiteral') return '…';
  return node.quasis.map(({ value }) => value.cooked).join('…');
}

function tagsOf(args) {
  const options = args.find(({ type }) => type === 'ObjectExpression');
  const tags = options?.properties.find(({ key }) => key?.name === 'tags');
  return tags?.value.elements?.map(({ value }) => value) ?? [];
}

/** The tests of one file: their titles with those of what they stand in, and their tags. */
function testsOf(path) {
  const source = readFileSync(join(ROOT, path), 'utf8');
  const { program, module } = parseSync(path, source);
  const found = [];
  const visit = (node, titles, tags) => {
    if (Array.isArray(node)) for (const item of node) visit(item, titles, tags);
    else if (node !== null && typeof node === 'object') {
      const kind = node.type === 'CallExpression' ? kindOf(node.callee) : null;
      // The inner call of `test.each(cases)('title', …)` has no title of its own.
      if (kind && node.arguments.length > 1 && node.callee.property?.name !== 'each') {
        const inner = { titles: [...titles, textOf(node.arguments[0])], tags: [...tags, ...tagsOf(node.arguments)] };
        const isMatrix = /\bmatrix\(/.test(source.slice(node.callee.start, node.callee.end));
        if (kind === 'test') found.push({ title: inner.titles.join(' › '), tags: inner.tags, isMatrix });
        visit(node.arguments, inner.titles, inner.tags);
      } else for (const [key, value] of Object.entries(node)) if (key !== 'parent') visit(value, titles, tags);
    }
  };
  visit(program.body, [], []);
  const imports = module.staticImports
    .map(({ moduleRequest }) => moduleRequest.value)
    .filter((specifier) => specifier.startsWith('.'))
    .map((specifier) => relative(ROOT, resolve(ROOT, dirname(path), specifier.replace(/\.js$/, '.ts'))));
  return { path, found, imports };
}

const tierOf = (path, isMatrix) => (path.endsWith('.long.test.ts') ? 'long' : isMatrix ? 'matrix' : 'short');

/** Each tagged test with the file that runs it: bodies may stand in a module that two files run. */
function tagged() {
  const read = files().map(testsOf);
  const isTestFile = (path) => path.endsWith('.test.ts');
  return read.flatMap(({ path, found }) => {
    const runBy = isTestFile(path)
      ? [path]
      : read.filter((one) => isTestFile(one.path) && one.imports.includes(path)).map((one) => one.path);
    return found.flatMap(({ title, tags, isMatrix }) =>
      runBy.map((file) => ({ file, title, tags, tier: tierOf(file, isMatrix) })),
    );
  });
}

const cell = (text) => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ');

function rowsOf(id, tests) {
  const mine = tests.filter(({ tags }) => tags.includes(id));
  const groups = new Map();
  for (const one of mine) {
    const key = `${one.file}\n${one.tier}`;
    groups.set(key, [...(groups.get(key) ?? []), one]);
  }
  return [...groups].map(([key, group]) => {
    const [file, tier] = key.split('\n');
    const titles = [...new Set(group.map(({ title }) => cell(title)))].join('<br>');
    return `| ${id} | \`${file.replace(/^test\//, '')}\` | ${titles} | ${TIERS[tier]} |`;
  });
}

function section(title, claims, tests) {
  const lines = Object.entries(claims).flatMap(([id, text]) => {
    const head = `| **${id}** | | **${cell(text)}** | ${NOT_YET[id] ? `no test: ${NOT_YET[id]}` : ''} |`;
    return [head, ...rowsOf(id, tests)];
  });
  return `## ${title}\n\n| id | file below \`test/\` | tests | run by |\n| --- | --- | --- | --- |\n${lines.join('\n')}\n`;
}

/**
 * The page, and what is wrong: claims that `npm test` does not show.
 *
 * @returns {{ text: string, problems: string[] }}
 */
export function proofs() {
  const tests = tagged();
  const claims = { ...PROMISES, ...FAULTS };
  const shown = new Set(tests.filter(({ tier }) => tier !== 'long').flatMap(({ tags }) => tags));
  const missing = Object.keys(claims).filter((id) => !shown.has(id) && !(id in NOT_YET));
  const unknown = [...new Set(tests.flatMap(({ tags }) => tags))].filter((tag) => !(tag in claims));
  const problems = [
    ...missing.map((id) => `${id} has no test in npm test: ${claims[id]}`),
    ...unknown.map((tag) => `${tag} is a tag of a test, but not in test/claims/claims.ts`),
  ];
  const mutants = MUTANTS.map(({ name }) => `| ${name} | \`${MUTANT_TEST.replace('test/', '')}\` | ${TIERS.long} |`);
  const text = `# What the tests show

Each promise and each row of the fault table has a test in \`npm test\`; \`npm run test:all\` has more of them, and hunts the
mutants: deliberate damage to the engine that its campaign must notice ([how](guide/campaign.md)).
\`npx vitest run --tags-filter F04\` runs the tests of one row.

${section('Promises', PROMISES, tests)}
${section('Faults', FAULTS, tests)}
## Mutants

The text that each one damages is looked up by \`npm test\`, so that none is lost by a change of the engine.

| mutant | hunted by | run by |
| --- | --- | --- |
${mutants.join('\n')}
`;
  return { text, problems };
}
