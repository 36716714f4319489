/**
 * Godwit as a library, in a process of its own that does one thing after the other: warm, where a command starts cold.
 * Its first argument is the dist/index.js under test. Plain JavaScript, so that Node itself loads what it tests.
 */
const { godwit } = await import(process.argv[2]);

const VERBS = {
  run: (g, options) => g.run('m1', options).result,
  retry: (g, options) => g.retry('m1', options).result,
  rollback: (g, options) => g.rollback('m1', options).result,
  verify: (g) => g.verify('m1'),
  'dry-run': (g, options) => g.dryRun('m1', options),
};

async function answerTo({ verb, uri, cwd, env, options }) {
  for (const name of Object.keys(process.env)) if (name.startsWith('GODWIT_')) delete process.env[name];
  Object.assign(process.env, env);
  let g;
  try {
    g = await godwit({ uri, cwd });
    return { json: await VERBS[verb](g, options) };
  } catch (error) {
    const { code, exitCode, message, stack } = error;
    return { error: code === undefined ? { message: stack } : { code, exitCode, message } };
  } finally {
    await g?.close();
  }
}

process.on('message', async (request) => process.send(await answerTo(request)));
process.on('disconnect', () => process.exit());
