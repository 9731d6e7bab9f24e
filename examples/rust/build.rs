//! Generates the client from the gateway's protos. protox compiles them, so no protoc is needed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let protos = "../../protos";
    let files = [
        "ecsgateway/v1/image_share_permission.proto",
        "ecsgateway/v1/error_details.proto",
    ];
    println!("cargo::rerun-if-changed={protos}");
    tonic_prost_build::configure()
        .build_server(false)
        .compile_fds(protox::compile(files, [protos])?)?;
    Ok(())
}
