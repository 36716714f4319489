const { MONGODB_URI } = process.env;

export default {
  mongodb: {
    url: MONGODB_URI,
    databaseName: new URL(MONGODB_URI.replace('mongodb:', 'http:')).pathname.slice(1),
    options: {},
  },
  migrationsDir: 'migrations',
  changelogCollectionName: 'changelog',
  lockCollectionName: 'changelog_lock',
  lockTtl: 0,
  migrationFileExtension: '.js',
  useFileHash: false,
  moduleSystem: 'esm',
};
