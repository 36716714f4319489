export interface LegacyOptions {
  /** People, each in one to three of the collections; 2,000 by default. */
  people?: number;
  seed?: number;
}

export type Legacy = Record<
  'customers' | 'clients' | 'leads' | 'invoices' | 'notes' | 'tasks',
  Record<string, unknown>[]
>;

/** Three collections for the same people, and what refers to them; the same seed gives the same bytes. */
export function generateLegacy(options?: LegacyOptions): Legacy;
