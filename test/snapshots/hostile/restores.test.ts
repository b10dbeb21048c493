import { holdRestores } from './hold-restores.js';

holdRestores(200);
