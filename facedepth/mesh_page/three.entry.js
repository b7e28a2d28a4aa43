// What page.js uses of three.js. `sh .ci/bundle-three` makes three.bundle.min.js of it; npm must be there.
export {
  BufferAttribute, BufferGeometry, DoubleSide, FrontSide, Mesh, MeshStandardMaterial, PerspectiveCamera, Points, Scene,
  ShaderMaterial, Texture, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { GLTFExporter } from "three/addons/exporters/GLTFExporter.js";
