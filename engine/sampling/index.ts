/** Sampling: the generation parameters, and the sampler that draws the tokens of one choice from logits. */

export { generationConfig, type GenerationConfig, type GenerationOptions } from "./generation-config.js";
export {
  isInteger64,
  MAX_INTEGER_64,
  MIN_INTEGER_64,
  PARAMETER_NAMES,
  parameterIn,
  PARAMETERS,
  type Dialect,
  type Parameter,
  type ParameterKind,
  type ParameterName,
} from "./parameters.js";
export { Sampler } from "./sampler.js";
