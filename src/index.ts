/** The public names of Godwit. A test pins this list. */
export * from './domain/authoring.js';
