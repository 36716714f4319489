import type { Metafile } from 'esbuild';

export declare function bundle(folder: string): Promise<Metafile>;
