/** The test that `godwit create --kind script` writes. Texts only. */
import { choicesText, type DocumentFacts, headText, loadText, TEST_WORDS } from './scaffold-test-head.js';

const ABOUT = ['What the script asks for, and what it makes of one document. It needs no database.'];

const TYPES = {
  ts: {
    what: ': string',
    asked: ': string[]',
    changes: ': Change[]',
    given: ', _given: unknown, change?: unknown',
    isChange: ' as Change',
    changeType: '\ntype Change = (doc: Doc, context: object) => Doc;\n',
    named: ': string',
  },
  mjs: { what: '', asked: '', changes: '', given: ', _given, change', isChange: '', changeType: '', named: '' },
} as const;

export function scriptTestText(facts: DocumentFacts): string {
  const { doc } = TEST_WORDS[facts.language];
  const type = TYPES[facts.language];
  return `${headText(facts, ABOUT, '')}${type.changeType}
/** What is given to the function of an update beside the document. */
const contextFor = (doc${doc}) => ({
${choicesText(facts)}
});

/** Runs the script with helpers that only take notes. */
async function run() {
${loadText(facts)}  const asked${type.asked} = [];
  const changes${type.changes} = [];
  const helper = (what${type.what}) => async (collection${type.named}${type.given}) => {
    asked.push(\`\${what} \${collection}\`);
    if (typeof change === 'function') changes.push(change${type.isChange});
    return { scanned: 0, written: 0 };
  };
  // What it reads. <- yours
  const db = { find: async () => [], count: async () => 0, distinct: async () => [], aggregate: async () => [] };
  await migration.steps[0].up({
    update: helper('update'),
    insert: helper('insert'),
    replace: helper('replace'),
    remove: helper('remove'),
    db,
  });
  return { asked, change: (doc${doc}) => changes[0]${facts.language === 'ts' ? '?.' : ''}(doc, contextFor(doc)) };
}

test('the script asks for this, in this order', async () => {
  assert.deepEqual((await run()).asked, ['update name-of-the-collection']);
});

test('a document in the old shape gets the new one', async () => {
  assert.deepEqual((await run()).change(before), after);
});

test('a second time changes nothing', async () => {
  assert.deepEqual((await run()).change(after), after);
});
`;
}
