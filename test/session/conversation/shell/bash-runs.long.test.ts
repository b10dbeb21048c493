import { holdAgainstBash } from './against-bash.js';

holdAgainstBash(2_000);
