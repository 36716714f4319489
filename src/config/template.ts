/** The text of a new `godwit.config.ts`: the environments to fill in, and every other key with its default. */
export const configText = (): string => `import { defineConfig } from 'godwit';

// Everything here is optional. MONGODB_URI, with the database in its path, is all that Godwit needs.
// \`godwit config\` shows every value and where it came from.
export default defineConfig({
  // db: 'crm', // the database, where the path of the URI holds none

  // Servers by name, for --env. Before anything is written to a production one, its database's name is asked for.
  environments: {
    staging: { uri: process.env['STAGING_URI'] },
    production: { uri: process.env['PRODUCTION_URI'], production: true },
  },

  // migrations: 'scripts/migrations', // the folder of the migrations
  // batch: { size: 500, targetMs: 75, maxBytes: '8MiB' }, // the first batch; how long the others hold their documents; bytes at most
  // throttle: { maxLagMs: 2_000, maxCommitMs: 250, maxQueue: 32, maxConnectionsPercent: 90, minOplogMs: '1h' }, // what batches wait for
  // (throttle: { probe: 'http://…', when: () => false } asks your own service, or your own function, too)
  // (window: { zone: 'Europe/Lisbon', start: '2026-12-01T01:00', end: '2026-12-01T05:00' } binds runs to a maintenance window)
  // workers: 'auto', // chunks worked on at once
  // leaseMs: 15_000, // how long a runner that is gone keeps others from taking over
  // outageMs: '10m', // how long a run waits for a server that does not answer
  // stallMs: '1m', // after how long without a committed batch a run says so, and why
  // transform: { timeoutMs: 5_000 }, // longest time of one call of \`up\`
  // audit: { retention: '90d' }, // how long the images of runs that were rolled back are kept
  // room: 'refuse', // a run that would not fit the disk or half of the oplog; 'warn' says so, 'off' asks nobody
  // state: { prefix: 'migrations' }, // name of Godwit's own collections; { db: 'ops' } puts them elsewhere
  // redact: ['contacts.ssn'], // collection.path of fields whose values are never shown
});
`;
