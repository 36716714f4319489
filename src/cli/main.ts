#!/usr/bin/env node
/** The command's first file: has Node keep what it compiles for the next process, and loads the rest. */
import * as loader from 'node:module';

/** Of Node 22.8 and later. */
interface CompileCache {
  readonly enableCompileCache?: () => unknown;
  readonly getCompileCacheDir?: () => string | undefined;
}

const { enableCompileCache, getCompileCacheDir } = loader as CompileCache & typeof loader;
enableCompileCache?.();
// For the processes that this one starts.
const folder = getCompileCacheDir?.();
if (folder !== undefined) process.env['NODE_COMPILE_CACHE'] ??= folder;

await import('./of-process.js');
