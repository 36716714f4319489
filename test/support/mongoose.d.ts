/// <reference path="../../node_modules/mongoose9/types/index.d.ts" />
// Both versions are installed under names of their own; their types declare a module called `mongoose`.
declare module 'mongoose8' {
  export { default } from 'mongoose';
}
declare module 'mongoose9' {
  export { default } from 'mongoose';
}
