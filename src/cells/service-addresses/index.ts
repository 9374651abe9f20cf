export { serviceAddressesCell } from "./cell.ts";
