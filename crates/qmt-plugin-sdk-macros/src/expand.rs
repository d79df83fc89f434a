//! The expansion of `export`: the function itself, and a function from bytes to bytes that calls it.

mod reserved;

use std::iter;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::{Error, FnArg, GenericParam, ItemFn, Result, ReturnType, Safety, Signature, Type};

pub(crate) fn export(arguments: TokenStream, item: TokenStream) -> Result<TokenStream> {
    if !arguments.is_empty() {
        return Err(Error::new_spanned(arguments, "`export` takes no arguments"));
    }
    let function: ItemFn = syn::parse2(item)?;
    let input = check(&function.sig)?;
    let private = quote!(::qmt_plugin::__private);
    // With the spans of the types, so that a missing trait is reported there.
    let argument = input.map(|input| {
        let read = match input {
            Type::Reference(_) => "borrow",
            _ => "decode",
        };
        let read = syn::Ident::new(read, input.span());
        quote_spanned!(input.span()=> ::qmt_plugin::__private::#read(__qmt_plugin_input)?)
    });
    let returned = match &function.sig.output {
        ReturnType::Type(_, returned) => returned.span(),
        ReturnType::Default => Span::call_site(),
    };
    let name = &function.sig.ident;
    let call = quote_spanned! {returned=>
        ::qmt_plugin::__private::Returned::new(#name(#argument)).encode()
    };
    let export = name.to_string();
    let export = export.trim_start_matches("r#");
    let symbol = symbol(export);
    let refusal = reserved::is_reserved(export).then(|| {
        let rule =
            format!("the compiler uses the name `{export}` in Wasm modules: rename the function");
        quote_spanned!(name.span()=> #[cfg(target_arch = "wasm32")] ::core::compile_error!(#rule);)
    });
    Ok(quote! {
        #function
        #refusal

        #[allow(deprecated)] // The function may be; hosts still call it.
        const _: () = {
            // No name here can be that of the function.
            fn __qmt_plugin_call(__qmt_plugin_input: &[u8]) -> #private::Answer {
                use #private::Plain as _;
                let _ = __qmt_plugin_input;
                #call
            }
            ::qmt_plugin::__export!(#export, #symbol, __qmt_plugin_call);
        };
    })
}

/// Returns the symbol of a function in a native library. Linkers take ASCII alone.
fn symbol(export: &str) -> String {
    let letters = export.chars().map(|letter| match letter {
        letter if letter.is_ascii() => letter.to_string(),
        // No identifier has a `$`, so hosts can read the name.
        letter => format!("${:x}$", u32::from(letter)),
    });
    iter::once("qmt_plugin_export_".to_owned())
        .chain(letters)
        .collect()
}

/// Refuses what cannot be called with bytes; returns the type of the parameter.
fn check(signature: &Signature) -> Result<Option<&Type>> {
    if let Some(word) = &signature.asyncness {
        let rule = "a plugin's function is not `async`: the host waits for its result";
        return Err(Error::new_spanned(word, rule));
    }
    if let Some(abi) = &signature.abi {
        let rule = "write a plain function: `export` makes the C interface";
        return Err(Error::new_spanned(abi, rule));
    }
    if let Safety::Unsafe(word) = &signature.safety {
        let rule = "an exported function is not `unsafe`: hosts call it with any input";
        return Err(Error::new_spanned(word, rule));
    }
    let generic = |parameter: &&GenericParam| !matches!(parameter, GenericParam::Lifetime(_));
    if let Some(parameter) = signature.generics.params.iter().find(generic) {
        return Err(Error::new_spanned(parameter, GENERIC));
    }
    if let ReturnType::Type(_, returned) = &signature.output
        && let Type::Reference(reference) = plain(returned)
        && !matches!(&reference.lifetime, Some(lifetime) if lifetime.ident == "static")
    {
        let rule = "the result is owned: return `Vec<u8>`, `String` or a type with `Serialize`";
        return Err(Error::new_spanned(reference, rule));
    }
    let mut inputs = signature.inputs.iter();
    let input = inputs.next().map(parameter).transpose()?;
    if let Some(second) = inputs.next() {
        let rule = "an exported function takes one input: put several values into a struct";
        return Err(Error::new_spanned(second, rule));
    }
    Ok(input)
}

const GENERIC: &str = "an exported function has no generic types: hosts call it by name";

fn parameter(input: &FnArg) -> Result<&Type> {
    let input = match input {
        FnArg::Typed(input) => &*input.ty,
        FnArg::Receiver(receiver) => {
            let rule = "an exported function takes no `self`: export a function, not a method";
            return Err(Error::new_spanned(receiver, rule));
        }
    };
    match plain(input) {
        Type::ImplTrait(generic) => Err(Error::new_spanned(generic, GENERIC)),
        Type::Reference(reference) if reference.mutability.is_some() => {
            let rule = "the input belongs to the host: take `&[u8]`, `&str` or an owned type";
            Err(Error::new_spanned(reference, rule))
        }
        input => Ok(input),
    }
}

/// Removes the parentheses of a type, and the group around one that a macro passed.
fn plain(mut input: &Type) -> &Type {
    while let Type::Group(syn::TypeGroup { elem, .. }) | Type::Paren(syn::TypeParen { elem, .. }) =
        input
    {
        input = elem;
    }
    input
}

#[cfg(test)]
mod tests;
