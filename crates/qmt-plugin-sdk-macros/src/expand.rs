//! The expansion of `export`: the function itself, and a function from bytes to bytes that calls it.

mod reserved;

use std::iter;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{
    Error, FnArg, GenericArgument, GenericParam, ItemFn, Lifetime, PathArguments, PathSegment,
    Result, ReturnType, Safety, Signature, Type, TypeReference,
};

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
                use #private::{Converts as _, Fails as _, Plain as _};
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
    if let ReturnType::Type(_, returned) = &signature.output {
        result(plain(returned))?;
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

/// Refuses a type of results that hosts cannot get.
fn result(returned: &Type) -> Result<()> {
    if let Type::Never(never) = returned {
        let rule = "an exported function returns: hosts wait for its result";
        return Err(Error::new_spanned(never, rule));
    }
    // An error may borrow: it becomes a message.
    let value = match returned {
        Type::Path(path) => path.path.segments.last().and_then(value_of_result),
        _ => None,
    };
    let mut borrows = Borrows(None);
    borrows.visit_type(value.unwrap_or(returned));
    match borrows.0 {
        None => Ok(()),
        Some(borrowed) => {
            let rule = "the result is owned: return `Vec<u8>`, `String` or a type with `Serialize`";
            Err(Error::new(borrowed, rule))
        }
    }
}

/// Returns the type of the value of a `Result`.
fn value_of_result(last: &PathSegment) -> Option<&Type> {
    let PathArguments::AngleBracketed(arguments) = &last.arguments else {
        return None;
    };
    match arguments.args.first() {
        Some(GenericArgument::Type(value)) if last.ident == "Result" => Some(value),
        _ => None,
    }
}

/// The first place in a type that borrows for less than `'static`.
struct Borrows(Option<Span>);

impl Visit<'_> for Borrows {
    fn visit_type_reference(&mut self, reference: &TypeReference) {
        if reference.lifetime.is_none() {
            self.0.get_or_insert(reference.span());
        }
        visit::visit_type_reference(self, reference);
    }

    fn visit_lifetime(&mut self, lifetime: &Lifetime) {
        if lifetime.ident != "static" {
            self.0.get_or_insert(lifetime.span());
        }
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
